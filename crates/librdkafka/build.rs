//! Compiles `src/batches.c` against the sources from which rdkafka-sys built librdkafka.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src/batches.c");
    let root = PathBuf::from(env::var("DEP_RDKAFKA_ROOT")?);
    let mut build = cc::Build::new();
    // That nothing of librdkafka's names the function in whose place ours is to stand would make ours unused.
    build.file("src/batches.c").include(root.join("src")).warnings(false).flag("-Werror=unused-function");
    // Where OpenSSL's headers are, and those of others. What is built in stands in `config.h`.
    let config = root.join("Makefile.config");
    let written = fs::read_to_string(&config).map_err(|e| format!("cannot read {}: {e}", config.display()))?;
    let flags = written.lines().filter_map(|line| line.strip_prefix("CFLAGS+=").or(line.strip_prefix("CPPFLAGS+=")));
    build.flags(flags.flat_map(str::split_whitespace).filter(|flag| flag.starts_with("-I") || flag.starts_with("-D")));
    build.try_compile("sluicebox_batches")?;
    Ok(())
}

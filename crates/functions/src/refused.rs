//! Functions of Spark that are refused, each with the one to write instead.
//!
//! A function is refused if a replay of a batch would give another value, if it asks about the machine or the session, if it does not exist
//! in Spark's meaning, or if DataFusion gives its name another meaning.

/// Why a function is refused, and what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why, as the end of a sentence that begins with the function's name.
    pub why: &'static str,
    /// What to write instead.
    pub instead: &'static str,
}

/// Why `name`, in lower case, is refused; `None` if it is not.
#[must_use]
pub fn refused(name: &str) -> Option<Refusal> {
    let group = GROUPS.iter().find(|group| group.names.contains(&name))?;
    Some(Refusal { why: group.why, instead: group.instead })
}

/// All refused names.
pub fn refused_names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|group| group.names).copied()
}

struct Group {
    names: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

const GROUPS: &[Group] = &[
    Group {
        names: &["try_avg"],
        why: "is not implemented: it would be avg that gives NULL on overflow",
        instead: "write avg(x), which of whole numbers and of DOUBLE does not overflow, or avg(CAST(x AS DOUBLE))",
    },
    Group {
        names: &["rand", "randn", "random", "randstr", "uniform", "shuffle", "uuid"],
        why: "gives another value each time it runs, so a replayed batch would write other rows",
        instead: "derive the value from the row: its key, or _topic, _partition and _offset; sha2() of them is as good as an id, and \
                  xxhash64() as a random number",
    },
    Group {
        names: &["monotonically_increasing_id", "spark_partition_id"],
        why: "numbers rows as they happen to be run, so a replayed batch would write other rows",
        instead: "_topic, _partition and _offset say which event a row came from",
    },
    Group {
        names: &["input_file_name", "input_file_block_start", "input_file_block_length"],
        why: "is about files, and events are not read from files",
        instead: "_topic, _partition and _offset say which event a row came from",
    },
    Group {
        names: &[
            "current_user",
            "session_user",
            "user",
            "current_database",
            "current_schema",
            "current_catalog",
            "version",
        ],
        why: "is about the machine that happens to run, so a replayed batch could write other rows",
        instead: "write the value as text",
    },
    Group {
        names: &["java_method", "reflect", "try_reflect"],
        why: "calls Java, which is not here",
        instead: "look for a function of the same meaning in docs/functions.md",
    },
    Group {
        names: &["to_time", "try_to_time", "make_time", "time_trunc", "time_diff", "time"],
        why: "gives a TIME, which Spark has no stable type for",
        instead: "keep the TIMESTAMP, and write date_format(ts, 'HH:mm:ss') where the time of day is shown",
    },
    Group {
        names: &["sentences"],
        why: "cuts text by rules of Java's libraries for each language",
        instead: "write split(text, '[.!?]+ *') for sentences, split(text, ' +') for words",
    },
    Group {
        names: &["to_char", "to_varchar"],
        why: "is not there for numbers in Spark's meaning, and the engine's is about times",
        instead: "write format_number(x, 2), format_string('%.2f', x), or date_format(ts, 'yyyy-MM-dd')",
    },
    Group {
        names: &["to_number", "try_to_number"],
        why: "is not there in Spark's meaning",
        instead: "write CAST(text AS DECIMAL(18, 2)), after regexp_replace(text, '[^0-9.-]', '') if there are other signs",
    },
    Group {
        names: &["aes_encrypt", "aes_decrypt", "try_aes_decrypt"],
        why: "needs a key, which would stand in the pipeline's text",
        instead: "encrypt before the events are produced, or write sha2(text, 256) where only equality matters",
    },
    Group {
        names: &["collate", "collation", "collations"],
        why: "is about collations; text is compared by its bytes here",
        instead: "compare lower(text) where upper and lower case are to be the same",
    },
    Group {
        names: &[
            "from_xml",
            "to_xml",
            "schema_of_xml",
            "xpath",
            "xpath_boolean",
            "xpath_double",
            "xpath_float",
            "xpath_int",
            "xpath_long",
            "xpath_number",
            "xpath_short",
            "xpath_string",
        ],
        why: "reads XML, which is not supported",
        instead: "write regexp_extract(text, '<name>([^<]*)</name>', 1) for a simple element",
    },
    Group {
        names: &["from_csv", "to_csv", "schema_of_csv"],
        why: "reads or writes CSV within a column, which is not supported",
        instead: "write split(text, ',') to read, concat_ws(',', a, b) to write",
    },
    Group {
        names: &["from_avro", "to_avro", "schema_of_avro", "from_protobuf", "to_protobuf"],
        why: "is not needed: a source decodes its events",
        instead: "give the source the option 'value.format'",
    },
    Group {
        names: &[
            "approx_top_k",
            "approx_top_k_accumulate",
            "approx_top_k_combine",
            "approx_top_k_estimate",
            "count_min_sketch",
            "hll_sketch_agg",
            "hll_sketch_estimate",
            "hll_union",
            "hll_union_agg",
            "kll_sketch_agg_bigint",
            "kll_sketch_agg_double",
            "kll_sketch_agg_float",
            "kll_sketch_get_n_bigint",
            "kll_sketch_get_n_double",
            "kll_sketch_get_n_float",
            "kll_sketch_get_quantile_bigint",
            "kll_sketch_get_quantile_double",
            "kll_sketch_get_quantile_float",
            "kll_sketch_get_rank_bigint",
            "kll_sketch_get_rank_double",
            "kll_sketch_get_rank_float",
            "kll_sketch_merge_bigint",
            "kll_sketch_merge_double",
            "kll_sketch_merge_float",
            "kll_sketch_to_string_bigint",
            "kll_sketch_to_string_double",
            "kll_sketch_to_string_float",
            "theta_difference",
            "theta_intersection",
            "theta_intersection_agg",
            "theta_sketch_agg",
            "theta_sketch_estimate",
            "theta_union",
            "theta_union_agg",
            "histogram_numeric",
        ],
        why: "makes or reads sketches of Apache DataSketches, which are not supported",
        instead: "write count(DISTINCT x), approx_count_distinct(x) or percentile_approx(x, 0.5)",
    },
    Group {
        names: &[
            "bitmap_bit_position",
            "bitmap_bucket_number",
            "bitmap_construct_agg",
            "bitmap_count",
            "bitmap_or_agg",
            "bitmap_and_agg",
        ],
        why: "makes or reads bitmaps in Spark's own form, which is not supported",
        instead: "write count(DISTINCT x)",
    },
    Group {
        names: &["st_asbinary", "st_geogfromwkb", "st_geomfromwkb", "st_setsrid", "st_srid"],
        why: "is about geometries, which have no type here",
        instead: "keep the bytes in a BINARY column",
    },
    Group {
        names: &["cume_dist", "dense_rank", "lag", "lead", "ntile", "percent_rank", "rank", "row_number"],
        why: "is a window function (OVER), which needs all rows of a stream",
        instead: "aggregate with GROUP BY window(event_time, INTERVAL '5 minutes'), or take the first row per key with DISTINCT ON",
    },
    Group {
        names: &["nth_value"],
        why: "is not supported: its state cannot be merged across batches",
        instead: "use array_agg(x ORDER BY y) and take the element",
    },
    Group {
        names: &[
            "parse_json",
            "try_parse_json",
            "is_variant_null",
            "schema_of_variant",
            "schema_of_variant_agg",
            "to_variant_object",
            "try_variant_get",
            "variant_get",
            "variant_explode",
            "variant_explode_outer",
        ],
        why: "is about VARIANT, which Parquet's readers do not share yet",
        instead: "keep the JSON as text, and write get_json_object(text, '$.a.b') or from_json(text, 'a INT, b STRING')",
    },
    Group { names: &["grouping_id"], why: "is not there", instead: "write grouping(a) * 2 + grouping(b)" },
    Group {
        names: &["range", "sql_keywords", "python_worker_logs"],
        why: "is a table of its own, and a streaming table reads streams",
        instead: "write FROM STREAM name; sequence(1, 10) makes an array of numbers",
    },
    Group {
        names: &["try_make_interval"],
        why: "is not there in Spark's meaning",
        instead: "write make_interval(...), or an interval such as INTERVAL '1 day'",
    },
];

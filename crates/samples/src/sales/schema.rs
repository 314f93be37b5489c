//! The schemas of a sale.

/// The Avro schema of a sale, with further fields: `$channel` before the quantity, `$behind` behind all others.
macro_rules! sales_schema {
    ($channel:literal, $behind:literal) => {
        concat!(
            r#"{
  "type": "record",
  "name": "SalesEvent",
  "namespace": "sluicebox.sales",
  "doc": "One sale of a subscription or an add-on.",
  "fields": [
    {"name": "event_id", "type": ["null", "string"], "default": null, "doc": "unique to the sale; a copy of the event carries the same one"},
    {"name": "account_id", "type": "string", "doc": "who bought; also the event's key"},
    {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-micros"}, "doc": "when it was sold"},
    {"name": "ingest_time", "type": {"type": "long", "logicalType": "timestamp-micros"}, "doc": "when the shop handed it on"},
    {"name": "region", "type": "string", "doc": "NA, EMEA, APAC or LATAM"},
    {"name": "plan_tier", "type": "string", "doc": "free, pro or enterprise"},
    {"name": "product", "type": "string"},"#,
            $channel,
            r#"
    {"name": "quantity", "type": "int"},
    {"name": "currency", "type": "string", "doc": "USD, EUR or GBP"},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}, "doc": "the whole sale, in its currency"}"#,
            $behind,
            r#"
  ]
}"#
        )
    };
}

/// The Avro schema of the value of an event of the sales generator.
pub const SALES_SCHEMA: &str = sales_schema!("", "");

/// What a shop that knows the channel writes: one more field, between the others.
const SALES_SCHEMA_2: &str = sales_schema!(
    r#"
    {"name": "channel", "type": ["null", "string"], "default": null, "doc": "web, partner or none"},"#,
    ""
);

/// What a shop that also knows campaigns writes: a list behind all others.
const SALES_SCHEMA_3: &str = sales_schema!(
    r#"
    {"name": "channel", "type": ["null", "string"], "default": null, "doc": "web, partner or none"},"#,
    r#",
    {"name": "campaigns", "type": {"type": "array", "items": "string"}, "default": [], "doc": "what led to the sale"}"#
);

/// The schemas that writers of sales may have, each with more than the one before, the first one [`SALES_SCHEMA`].
pub const SALES_SCHEMAS: [&str; 3] = [SALES_SCHEMA, SALES_SCHEMA_2, SALES_SCHEMA_3];

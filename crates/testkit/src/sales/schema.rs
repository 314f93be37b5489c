//! The schema of a sale.

/// The Avro schema of the value of an event of the sales generator.
pub const SALES_SCHEMA: &str = r#"{
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
    {"name": "product", "type": "string"},
    {"name": "quantity", "type": "int"},
    {"name": "currency", "type": "string", "doc": "USD, EUR or GBP"},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}, "doc": "the whole sale, in its currency"}
  ]
}"#;

//! Avro does what every format must do.

use crate::class::ErrorClass;
use crate::framing::frame;
use crate::testing::{Body, Fixture, conforms};

const SCHEMA: &str = r#"{"type":"record","name":"E","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"},
    {"name":"tags","type":{"type":"array","items":"string"}},{"name":"note","type":["null","string"]}]}"#;

fn event(id: i64, name: &str, tags: &[&str]) -> Vec<u8> {
    let mut body = Body::default().long(id).text(name);
    for tag in tags {
        body = body.long(1).text(tag);
    }
    frame(1, &body.long(0).long(0).0)
}

#[test]
fn what_stands_around_an_event_does_not_show() {
    let good =
        [event(1, "", &[]), event(-2, "ä", &["a", "b"]), event(i64::MAX, "long enough to be no short text", &["c"])];
    let of = |body: Body| frame(1, &body.0);
    let text = || Body::default().long(1).text("name").long(1).text("tag").long(0);
    let bad = [
        (Vec::new(), ErrorClass::IncompleteHeader),
        (b"{}".to_vec(), ErrorClass::InvalidMagicByte),
        (frame(9, &[]), ErrorClass::UnknownSchemaId),
        (of(Body::default()), ErrorClass::Truncated),
        (of(text()), ErrorClass::Truncated),
        (of(text().long(0).long(7)), ErrorClass::TrailingBytes),
        (of(text().long(2)), ErrorClass::InvalidUnionBranch),
        (of(Body::default().long(1).bytes(&[0xff])), ErrorClass::InvalidUtf8),
    ];
    conforms(&Fixture::new(SCHEMA, &[(1, SCHEMA)]).decoder, &good, &bad);
}

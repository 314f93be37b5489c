//! `schema_registry_converter`, the client of Rust programs, against the embedded registry.

use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_all_subjects, get_all_versions, get_referenced_schema, get_schema_by_guid, get_schema_by_id,
    get_schema_by_subject_and_version, is_compatible_schema, post_schema,
};
use schema_registry_converter::schema_registry_common::{
    SchemaType, SubjectNameStrategy, SuppliedReference, SuppliedSchema,
};

use super::*;

fn supplied(schema: &str) -> SuppliedSchema {
    SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned())
}

#[tokio::test]
async fn it_registers_and_reads() {
    let server = Server::start().await;
    let settings = SrSettings::new_builder(server.url.clone()).no_proxy().build().unwrap();
    let code = r#"{"type":"fixed","name":"a.C","size":2}"#;
    let order = r#"{"type":"record","name":"a.O","fields":[{"name":"c","type":"a.C"}]}"#;
    let subject = SubjectNameStrategy::TopicNameStrategy("a/b".to_owned(), false).get_subject().unwrap();
    let reference = SuppliedReference::new("a.C".to_owned(), "c".to_owned(), code.to_owned());
    let registered =
        post_schema(&settings, subject.clone(), supplied(order).with_references(vec![reference])).await.unwrap();
    let guid = registered.guid.unwrap();
    for found in [
        get_schema_by_id(registered.id, &settings).await.unwrap(),
        get_schema_by_guid(&guid, &settings).await.unwrap(),
        get_schema_by_subject_and_version(&settings, &subject, None).await.unwrap(),
        get_schema_by_subject_and_version(&settings, &subject, Some(1)).await.unwrap(),
    ] {
        assert_eq!((found.schema.as_str(), &found.schema_type), (order, &SchemaType::Avro));
        let referenced = get_referenced_schema(&settings, &found.references[0]).await.unwrap();
        assert_eq!(referenced.schema, code);
    }
    assert_eq!(get_all_subjects(&settings).await.unwrap(), ["a/b-value", "c"]);
    assert_eq!(get_all_versions(&settings, "c".to_owned()).await.unwrap(), [1]);
    for (size, fits) in [(2, true), (3, false)] {
        let other = supplied(&format!(r#"{{"type":"fixed","name":"a.C","size":{size}}}"#));
        assert_eq!(is_compatible_schema(&settings, "c".to_owned(), other).await.unwrap(), fits);
    }
    assert!(post_schema(&settings, "c".to_owned(), supplied("\"long\"")).await.is_err());
    assert!(get_schema_by_id(99, &settings).await.is_err());
}

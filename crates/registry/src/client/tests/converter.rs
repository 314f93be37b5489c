//! Shows which answers `schema_registry_converter` does not tell apart, and so why the client does not use it. If one of these tests fails,
//! that crate has mended it: look at the decision again.

use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_id, get_schema_by_subject_and_version,
};

use super::*;

fn settings(url: &str) -> SrSettings {
    SrSettings::new_builder(url.to_owned()).no_proxy().build().unwrap()
}

/// A registry that is overloaded or restarted, a wrong URL, and an id that is not known: one is waited for, one ends the run, one costs an
/// event.
#[tokio::test]
async fn what_passes_and_what_does_not_are_told_alike() {
    let answers =
        || vec![refused(429, 42901), refused(500, 50001), refused(504, 50401), Scripted(404, json!("<html>"), None)];
    let (url, script) = scripted(answers()).await;
    for _ in answers() {
        let error = get_schema_by_id(7, &settings(&url)).await.unwrap_err();
        assert!(!error.retriable, "{error}");
    }
    assert_eq!(script.paths().len(), 4, "each is asked for once");
    let (url, _) = scripted(answers()).await;
    assert!(matches!(client(options(&url)).by_id(7).await, Err(RegistryError::Refused { status: 404, .. })));
}

/// As that each URL has credentials of its own: here a secret is for all of them, and what one refuses is asked of the next.
#[tokio::test]
async fn a_refusal_takes_the_secret_to_the_next_url() {
    let (first, _) = scripted(vec![refused(404, 40403)]).await;
    let (second, of_second) = scripted(Vec::new()).await;
    let both = SrSettings::new_builder(first)
        .add_url(second.clone())
        .set_basic_authorization("alice", Some("pw"))
        .no_proxy()
        .build()
        .unwrap();
    assert!(get_schema_by_id(7, &both).await.is_ok());
    assert!(of_second.requests.lock().unwrap()[0].1.contains_key(header::AUTHORIZATION));
    let (first, _) = scripted(vec![refused(404, 40403)]).await;
    let urls = format!("{},{second}", first.replace("http://", "http://alice:pw@"));
    assert!(matches!(client(options(&urls)).by_id(7).await, Err(RegistryError::NotFound { .. })));
    assert_eq!(of_second.paths().len(), 1, "the refusal is final");
}

#[tokio::test]
async fn a_name_and_an_address_with_a_question_mark_lead_elsewhere() {
    let (url, script) = scripted(Vec::new()).await;
    let keyed = format!("{url}/base?apikey=k");
    assert!(get_schema_by_subject_and_version(&settings(&url), "a?b#c", None).await.is_err());
    assert!(get_schema_by_id(7, &settings(&keyed)).await.is_ok());
    assert!(client(options(&url)).latest("a?b#c").await.is_err());
    assert!(client(options(&keyed)).by_id(7).await.is_ok());
    let theirs = ["/subjects/a?b", "/base?apikey=k/schemas/ids/7?deleted=true"];
    let ours = ["/subjects/a%3Fb%23c/versions/latest", "/base/schemas/ids/7?apikey=k"];
    assert_eq!(script.paths(), [theirs, ours].concat());
}

#[tokio::test]
async fn an_answer_of_any_length_is_read() {
    let long = Scripted(200, json!({ "schema": "x".repeat(17 << 20) }), None);
    let (url, _) = scripted(vec![long.clone(), long]).await;
    assert_eq!(get_schema_by_id(7, &settings(&url)).await.unwrap().schema.len(), 17 << 20);
    let error = client(options(&url)).by_id(7).await.unwrap_err().to_string();
    assert!(error.contains("longer than 16 MiB"), "{error}");
}

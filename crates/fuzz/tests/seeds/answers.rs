//! What registries answer, by each request.

use super::Seeds;

/// Inputs of `answers`.
pub fn seeds() -> Seeds {
    let said = |what: u8, answers: &[(&str, &str)]| {
        let answers: Vec<String> = answers.iter().map(|(status, body)| format!("{status}\n{body}")).collect();
        [&[0x80 | what], answers.join("\0").as_bytes()].concat()
    };
    let seeds = [
        ("id", said(0, &[("200 OK", r#"{"schema":"\"long\""}"#)])),
        (
            "referenced",
            said(
                0,
                &[
                    (
                        "200 OK",
                        r#"{"schema":"{\"type\":\"record\",\"name\":\"E\",\"fields\":[{\"name\":\"k\",\"type\":\"x.K\"}]}","references":[{"name":"x.K","subject":"r","version":1}]}"#,
                    ),
                    (
                        "200 OK",
                        r#"{"subject":"r","version":1,"id":1,"schema":"{\"type\":\"enum\",\"name\":\"x.K\",\"symbols\":[\"A\"]}"}"#,
                    ),
                ],
            ),
        ),
        ("unknown", said(0, &[("404 Not Found", r#"{"error_code":40403,"message":"Schema 7 not found"}"#)])),
        ("json", said(0, &[("200 OK", r#"{"schema":"{}","schemaType":"JSON"}"#)])),
        ("guid", said(1, &[("404 Not Found", ""), ("404 Not Found", r#"{"error_code":40403,"message":"no"}"#)])),
        (
            "latest",
            said(
                2,
                &[(
                    "200 OK",
                    r#"{"subject":"s","version":3,"id":7,"schema":"{\"type\":\"record\",\"name\":\"E\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}"}"#,
                )],
            ),
        ),
        ("acts", said(2, &[("422 Unprocessable Entity", r#"{"error_code":42201,"message":"\u001b[2J\r\n\u202e"}"#)])),
        ("version", said(3, &[("200 OK", r#"{"subject":"s","version":1,"id":7,"schema":"\"string\""}"#)])),
        ("down", said(3, &[("503 Service Unavailable", ""), ("401 Unauthorized", "")])),
        ("subjects", said(4, &[("200 OK", r#"["a","b-value"]"#)])),
        (
            "chunked",
            b"\x00HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11\r\n{\"schema\":\"null\"}\r\n0\r\n\r\n"
                .to_vec(),
        ),
        ("short", b"\x00HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"schema\":".to_vec()),
        (
            "later",
            b"\x02HTTP/1.1 429 Too Many Requests\r\nretry-after: 9999999999\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ),
    ];
    seeds.map(|(name, input)| (name.to_owned(), input)).into()
}

//! Checks whether a file holds certificates or keys in PEM, before anything connects.
//!
//! TLS libraries treat a file without certificates as an empty list. Every connection then fails, without naming the file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a file is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Certificates.
    Certificates,
    /// A private key.
    Key,
    /// A certificate with its private key.
    Identity,
    /// Lists of certificates that were revoked.
    Revoked,
}

/// Why a file does not hold what it is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// What is wrong, behind `the file` or `which`: `is empty`.
    pub problem: String,
    /// What would be right, and how to make it.
    pub right: &'static str,
}

impl Holds {
    /// How a block of PEM is called in messages.
    const fn label(self) -> &'static str {
        match self {
            Self::Certificates | Self::Identity => "CERTIFICATE",
            Self::Key => "PRIVATE KEY",
            Self::Revoked => "X509 CRL",
        }
    }

    /// Whether a block of `label` is one that is wanted.
    fn wants(self, label: &str) -> bool {
        match self {
            Self::Certificates | Self::Identity => label == "CERTIFICATE" || label.ends_with(" CERTIFICATE"),
            Self::Key => label.ends_with("PRIVATE KEY"),
            Self::Revoked => label.ends_with("X509 CRL"),
        }
    }

    /// What would be right, and how to make it.
    const fn right(self) -> &'static str {
        match self {
            Self::Certificates => {
                "a PEM file of certificates; `openssl x509 -inform der -in FILE` makes one of DER, `openssl pkcs12 -in FILE -nokeys` of a \
                 keystore"
            }
            Self::Key => {
                "a PEM file with the private key; `openssl pkey -inform der -in FILE` makes one of DER, `openssl pkcs12 -in FILE -nocerts` \
                 of a keystore"
            }
            Self::Identity => {
                "a PEM file with a certificate and its private key, one behind the other; `openssl pkcs12 -in FILE -nodes` makes one of a \
                 keystore"
            }
            Self::Revoked => "a PEM file of revocation lists; `openssl crl -inform der -in FILE` makes one of DER",
        }
    }
}

/// Makes sure that `content`, all of a file, has in PEM what it is to hold. Nothing is looked at but its form.
///
/// # Errors
/// What it is instead.
pub fn check(content: &[u8], holds: Holds) -> Result<(), Unfit> {
    has(content, holds)?;
    if holds == Holds::Identity {
        has(content, Holds::Key).map_err(|unfit| Unfit { right: holds.right(), ..unfit })?;
    }
    Ok(())
}

fn has(content: &[u8], holds: Holds) -> Result<(), Unfit> {
    let unfit = |problem: String| Err(Unfit { problem, right: holds.right() });
    if content.iter().all(u8::is_ascii_whitespace) {
        return unfit("is empty".to_owned());
    }
    let text = String::from_utf8_lossy(content);
    let (mut others, mut any) = (Vec::new(), false);
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|l| l.strip_suffix("-----")) else { continue };
        if !holds.wants(label) {
            others.push(label.to_owned());
            continue;
        }
        let end = format!("-----END {label}-----");
        let mut body = Vec::new();
        loop {
            match lines.next() {
                Some(line) if line == end => break,
                Some(line) => body.push(line.trim()),
                None => return unfit(format!("is cut off: a {label} begins in it and has no line '{end}'")),
            }
        }
        if !is_sound(&body) {
            return unfit(format!("is damaged: what stands in its {label} is none"));
        }
        any = true;
    }
    match (any, others.first()) {
        (true, _) => Ok(()),
        (false, Some(other)) => unfit(format!("holds a {other} and no {}", holds.label())),
        (false, None) if content.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) => {
            unfit("is a keystore of Java, and no PEM".to_owned())
        }
        (false, None) if content.first() == Some(&SEQUENCE) => {
            unfit("is binary (DER or PKCS#12), and no PEM".to_owned())
        }
        (false, None) => unfit(format!("is no PEM: it has no line '-----BEGIN {}-----'", holds.label())),
    }
}

/// What DER begins with.
const SEQUENCE: u8 = 0x30;

/// Whether the lines between BEGIN and END are DER in base64. Of a key that is encrypted as OpenSSL did it long ago, which lines with
/// a colon tell, only that it is base64.
fn is_sound(body: &[&str]) -> bool {
    let encrypted = body.iter().any(|line| line.contains(':'));
    let text: String = body.iter().filter(|line| !line.contains(':')).copied().collect();
    STANDARD.decode(&text).is_ok_and(|bytes| !bytes.is_empty() && (encrypted || is_sequence(&bytes)))
}

/// Whether `bytes` begin with a sequence of DER that is whole.
fn is_sequence(bytes: &[u8]) -> bool {
    let [SEQUENCE, first, rest @ ..] = bytes else { return false };
    let (length, held) = match usize::from(*first) {
        short @ 0..0x80 => (short, rest.len()),
        long => {
            let Some((digits, rest)) = rest.split_at_checked(long - 0x80).filter(|(digits, _)| digits.len() <= 4)
            else {
                return false;
            };
            (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest.len())
        }
    };
    length <= held
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const SOUND: &str = "Subject: CN=ca\n-----BEGIN CERTIFICATE-----\nMAMC\nAQE=\n-----END CERTIFICATE-----\n";

    fn problem(content: impl AsRef<[u8]>, holds: Holds) -> String {
        check(content.as_ref(), holds).unwrap_err().problem
    }

    #[test]
    fn what_is_right_is_taken_with_what_stands_around_it() {
        let key = SOUND.replace("CERTIFICATE", "RSA PRIVATE KEY");
        check(SOUND.as_bytes(), Holds::Certificates).unwrap();
        check(SOUND.replace('\n', "\r\n").as_bytes(), Holds::Certificates).unwrap();
        check((SOUND.to_owned() + SOUND).as_bytes(), Holds::Certificates).unwrap();
        check(key.as_bytes(), Holds::Key).unwrap();
        check((key.clone() + SOUND).as_bytes(), Holds::Identity).unwrap();
        check(SOUND.replace("CERTIFICATE", "X509 CRL").as_bytes(), Holds::Revoked).unwrap();
        // As OpenSSL 1.0 encrypted keys.
        let encrypted =
            key.replace("MAMC\n", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n").replace("AQE=", "AAAA");
        check(encrypted.as_bytes(), Holds::Key).unwrap();
    }

    #[test]
    fn what_is_wrong_says_what_it_is() {
        for (content, says) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("<html>\n", "is no PEM: it has no line '-----BEGIN CERTIFICATE-----'"),
            ("\u{feff}-----BEGIN CERTIFICATE-----\n", "is no PEM"),
            ("-----BEGIN CERTIFICATE-----\nMAMC\n", "is cut off: a CERTIFICATE begins in it"),
            ("-----BEGIN CERTIFICATE-----\nMA!C\n-----END CERTIFICATE-----\n", "is damaged"),
            ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "is damaged"),
            ("-----BEGIN CERTIFICATE-----\nMAQC\nAQE=\n-----END CERTIFICATE-----\n", "is damaged"),
            (
                "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
                "holds a PRIVATE KEY and no CERTIFICATE",
            ),
        ] {
            let problem = problem(content, Holds::Certificates);
            assert!(problem.starts_with(says), "{content:?}: {problem}");
        }
        assert_eq!(problem([0x30, 0x82, 0x01, 0x00], Holds::Certificates), "is binary (DER or PKCS#12), and no PEM");
        assert_eq!(problem([0xfe, 0xed, 0xfe, 0xed, 0, 0], Holds::Key), "is a keystore of Java, and no PEM");
        assert_eq!(problem(SOUND, Holds::Key), "holds a CERTIFICATE and no PRIVATE KEY");
        assert_eq!(problem(SOUND, Holds::Identity), "holds a CERTIFICATE and no PRIVATE KEY");
    }
}

//! Envelopes: good ones, pages, and refusals with the codes and statuses that were seen.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::Answered;

/// Why something is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    BadHeaders,
    HostTaken,
    NoRoute,
    NotAuthenticated,
    NotPermitted,
    /// A reason behind it: its code and its sentence.
    NotValid(u32, &'static str),
    RecordAbsent,
    RecordIdentical,
    TokenUnknown,
    TooManyRecords,
}

impl Refusal {
    fn told(&self) -> (u16, u32, &'static str) {
        match self {
            Self::BadHeaders => (400, 6003, "Invalid request headers"),
            Self::HostTaken => {
                (400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
            }
            Self::NoRoute => {
                (404, 7003, "Could not route to it, perhaps your object identifier is invalid?")
            }
            Self::NotAuthenticated => (401, 10000, "Authentication error"),
            Self::NotPermitted => (403, 9109, "Unauthorized to access requested resource"),
            Self::NotValid(..) => (400, 1004, "DNS Validation Error"),
            Self::RecordAbsent => (404, 81044, "Record does not exist."),
            Self::RecordIdentical => (400, 81058, "An identical record already exists."),
            Self::TokenUnknown => (401, 1000, "Invalid API Token"),
            Self::TooManyRecords => (400, 81045, "The record quota has been exceeded."),
        }
    }
}

pub(super) fn refused(refusal: &Refusal) -> Response<Bytes> {
    let (status, code, message) = refusal.told();
    let mut error = json!({ "code": code, "message": message });
    let reason = match refusal {
        Refusal::NotValid(code, message) => Some((*code, *message)),
        Refusal::BadHeaders => Some((6111, "Invalid format for Authorization header")),
        _ => None,
    };
    if let Some((code, message)) = reason {
        error["error_chain"] = json!([{ "code": code, "message": message }]);
    }
    let body = json!({ "success": false, "errors": [error], "messages": [], "result": null });
    crate::testkit::json(status, &body)
}

pub(super) fn result(result: &Value) -> Answered {
    Answered(json!({ "success": true, "errors": [], "messages": [], "result": result }))
}

/// One page of what was found.
pub(super) fn listed(
    found: Vec<Value>,
    query: &BTreeMap<String, String>,
    per_page_max: usize,
) -> Answered {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let per_page = number("per_page").unwrap_or(100).clamp(1, per_page_max);
    let page = number("page").unwrap_or(1).max(1);
    let total = found.len();
    let shown: Vec<Value> = found.into_iter().skip((page - 1) * per_page).take(per_page).collect();
    let info = json!({
        "page": page,
        "per_page": per_page,
        "count": shown.len(),
        "total_count": total,
        "total_pages": total.div_ceil(per_page),
    });
    let Answered(mut body) = result(&Value::Array(shown));
    body["result_info"] = info;
    Answered(body)
}

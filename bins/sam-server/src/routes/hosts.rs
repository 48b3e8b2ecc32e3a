//! Requests to a workspace's own name, `ws-….{base}`: they reach that workspace alone, by the same
//! handlers, with the same questions about who asks and whose it is.
//!
//! The name is that of the request itself: what a proxy adds, such as `X-Forwarded-Host`, can be written
//! by anybody and is not read. It selects, and proves nothing.

use axum::Router;
use axum::extract::Request;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Method, Uri};
use sam_core::WorkspaceId;
use sam_core::dns::RecordName;
use tower::ServiceExt as _;

/// Whom a request is for, by the name it was sent to.
#[derive(Debug, PartialEq, Eq)]
enum Addressee {
    /// A name that looks like a workspace's, and cannot be.
    Nobody,
    /// The control plane, whatever it is called.
    ControlPlane,
    /// A workspace, which may not exist.
    Workspace(WorkspaceId),
}

/// Sends what is for a workspace to its routes among `all`, what is for nobody to `nothing`, and the rest
/// to `all`.
pub(super) fn by_host(base: RecordName, all: Router, nothing: Router) -> Router {
    Router::new().fallback_service(tower::service_fn(move |mut request: Request| {
        let chosen = match addressee(&request, &base) {
            Addressee::ControlPlane => &all,
            Addressee::Nobody => &nothing,
            Addressee::Workspace(id) => match within(id, request.method(), request.uri()) {
                Some(uri) => {
                    *request.uri_mut() = uri;
                    &all
                }
                None => &nothing,
            },
        };
        chosen.clone().oneshot(request)
    }))
}

fn addressee(request: &Request, base: &RecordName) -> Addressee {
    let header = || request.headers().get(HOST).and_then(|value| value.to_str().ok());
    // Where the request line names a host, that one counts and the header does not.
    let host = request.uri().authority().map(http::uri::Authority::as_str).or_else(header);
    host.map_or(Addressee::ControlPlane, |host| whom(host, base))
}

fn whom(host: &str, base: &RecordName) -> Addressee {
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let label = name.strip_suffix(base.as_str()).and_then(|rest| rest.strip_suffix('.'));
    match label {
        Some(label) if label.starts_with(WorkspaceId::PREFIX) => {
            label.parse().map_or(Addressee::Nobody, Addressee::Workspace)
        }
        Some(_) | None => Addressee::ControlPlane,
    }
}

/// Where a path of a workspace's own name leads; `None` where it leads nowhere.
fn within(id: WorkspaceId, method: &Method, uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let path = match segments.as_slice() {
        // What it is; it can be read there, and nothing else.
        [""] if [Method::GET, Method::HEAD].contains(method) => "",
        ["activity" | "exec" | "terminals"] | ["terminals", _] | ["terminals", _, "attach"] => path,
        _ => return None,
    };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    let whole = format!("/api/workspaces/{id}{path}{query}");
    parts.path_and_query = Some(whole.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ws-06f1x2k3m4n5p6q7r8s9t0vwxy";

    #[test]
    fn a_host_is_read_in_any_case_without_its_port() {
        let base: RecordName = "example.com".parse().unwrap();
        let workspace = || Addressee::Workspace(ID.parse().unwrap());
        let cases = [
            (format!("{ID}.example.com"), workspace()),
            (format!("{ID}.example.com:7070"), workspace()),
            (format!("{ID}.example.com."), workspace()),
            (format!("{ID}.Example.COM.:443"), workspace()),
            (ID.to_uppercase() + ".EXAMPLE.COM", workspace()),
            ("ws-1.example.com".to_owned(), Addressee::Nobody),
            (format!("{ID}.more.example.com"), Addressee::Nobody),
            ("ws-.example.com".to_owned(), Addressee::Nobody),
            (format!("more.{ID}.example.com"), Addressee::ControlPlane),
            (format!("{ID}example.com"), Addressee::ControlPlane),
            (format!("{ID}.example.org"), Addressee::ControlPlane),
            (format!("{ID}.badexample.com"), Addressee::ControlPlane),
            (ID.to_owned(), Addressee::ControlPlane),
            ("example.com".to_owned(), Addressee::ControlPlane),
            ("sam.example.com".to_owned(), Addressee::ControlPlane),
            ("127.0.0.1:7070".to_owned(), Addressee::ControlPlane),
            ("[::1]:7070".to_owned(), Addressee::ControlPlane),
            (String::new(), Addressee::ControlPlane),
        ];
        for (host, expected) in cases {
            assert_eq!(whom(&host, &base), expected, "{host}");
        }
    }

    #[test]
    fn the_name_of_the_request_line_outranks_the_header_and_what_proxies_say_is_not_read() {
        let base: RecordName = "example.com".parse().unwrap();
        let request = |uri: String, host: &str| {
            let request = Request::builder().uri(uri).header(HOST, host);
            let request = request.header("x-forwarded-host", format!("{ID}.example.com"));
            request.body(axum::body::Body::empty()).unwrap()
        };
        let plain = request("/exec".to_owned(), "sam.example.com");
        assert_eq!(addressee(&plain, &base), Addressee::ControlPlane);
        let whole = request(format!("http://{ID}.example.com/exec"), "sam.example.com");
        assert_eq!(addressee(&whole, &base), Addressee::Workspace(ID.parse().unwrap()));
    }

    #[test]
    fn a_workspaces_name_leads_to_that_workspace_alone() {
        let id: WorkspaceId = ID.parse().unwrap();
        let to = |method: Method, path: &str| {
            within(id, &method, &path.parse().unwrap()).map(|uri| uri.to_string())
        };
        let whole = |path: &str| Some(format!("/api/workspaces/{ID}{path}"));
        assert_eq!(to(Method::GET, "/"), whole(""));
        for path in ["/terminals", "/terminals/tm-1", "/activity", "/exec"] {
            assert_eq!(to(Method::GET, path), whole(path));
        }
        let attach = "/terminals/tm-1/attach?offset=5";
        assert_eq!(to(Method::GET, attach), whole(attach));
        assert_eq!(to(Method::DELETE, "/terminals/tm-1"), whole("/terminals/tm-1"));
        // Deleting and stopping it is asked of the control plane.
        assert_eq!(to(Method::DELETE, "/"), None);
        for path in [
            "/stop",
            "/lease",
            "/api/workspaces",
            "/api/health",
            "/healthz",
            "//",
            "/terminals/",
            "/terminals/tm-1/attach/x",
            "/exec/../stop",
            "/work/9",
        ] {
            let leads = to(Method::GET, path);
            assert!(leads.is_none() || path == "/terminals/", "{path} leads to {leads:?}");
        }
    }
}

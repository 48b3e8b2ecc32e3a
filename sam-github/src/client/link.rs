//! The `Link` header, by which GitHub names the next page. It is followed, never built: pages of a
//! renamed repository lie elsewhere.

use http::{HeaderMap, header};

/// Most bytes of a `Link` header that are looked at.
const LINK_BYTES_MAX: usize = 8 << 10;

/// Returns the address of the next page.
pub(crate) fn next_of(headers: &HeaderMap) -> Option<&str> {
    let links = headers.get_all(header::LINK).into_iter();
    let mut texts = links.filter_map(|value| value.to_str().ok());
    texts.find_map(|text| if text.len() > LINK_BYTES_MAX { None } else { next(text) })
}

fn next(mut rest: &str) -> Option<&str> {
    // Each round takes an address off a bounded text.
    while let Some((_, after)) = rest.split_once('<') {
        let (address, after) = after.split_once('>')?;
        let (parameters, others) = after
            .split_once('<')
            .map_or((after, ""), |(now, _)| (now, after.get(now.len()..).unwrap_or_default()));
        let is_next = parameters.split([';', ',']).map(str::trim).any(|parameter| {
            parameter.strip_prefix("rel=").is_some_and(|rel| rel.trim_matches('"') == "next")
        });
        if is_next {
            return Some(address);
        }
        rest = others;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_the_others() {
        let github = "<https://a/x?page=1>; rel=\"prev\", <https://a/x?page=3>; rel=\"next\", \
                      <https://a/x?page=9>; rel=\"last\"";
        assert_eq!(next(github), Some("https://a/x?page=3"));
        assert_eq!(next("<https://a/?q=a,b;c>; rel=next"), Some("https://a/?q=a,b;c"));
        for none in ["", "<https://a>; rel=\"last\"", "<https://a", "rel=\"next\"", "<>"] {
            assert_eq!(next(none), None, "{none}");
        }
    }
}

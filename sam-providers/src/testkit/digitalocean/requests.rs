//! Which request means what, and pages.

use bytes::Bytes;
use http::Request;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{DigitalOceanModel, Reply, not_found, refuse, unprocessable};

/// The members of a query, in order.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request<Bytes>) -> Self {
        let text = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = request.uri().query().unwrap_or_default().split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (text(name), text(value))
        });
        Self(pairs.collect())
    }

    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// Cuts a page out of a list.
pub(super) fn paged(member: &str, query: &Query, all: Vec<Value>) -> Reply {
    let number = |name: &str, usual: usize| query.one(name).map_or(Some(usual), |n| n.parse().ok());
    let (Some(page @ 1..), Some(per_page @ 1..=200)) = (number("page", 1), number("per_page", 20))
    else {
        return refuse(400, "bad_request", "page or per_page is out of range");
    };
    let (total, last) = (all.len(), all.len().div_ceil(per_page).max(1));
    let items: Vec<Value> =
        all.into_iter().skip((page - 1).saturating_mul(per_page)).take(per_page).collect();
    let url = |page: usize| {
        format!("https://api.digitalocean.com/v2/{member}?page={page}&per_page={per_page}")
    };
    let mut pages = json!({});
    if page < last {
        pages["next"] = json!(url(page + 1));
        pages["last"] = json!(url(last));
    }
    if page > 1 {
        pages["first"] = json!(url(1));
        pages["prev"] = json!(url(page - 1));
    }
    let links = if last == 1 { json!({}) } else { json!({ "pages": pages }) };
    (200, json!({ member: items, "links": links, "meta": { "total": total } }))
}

impl DigitalOceanModel {
    pub(super) fn respond(&mut self, request: &Request<Bytes>) -> Reply {
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if given != Some(&*format!("Bearer {}", self.token)) {
            return refuse(401, "unauthorized", "Unable to authenticate you");
        }
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/v2/") else { return not_found() };
        let parts: Vec<&str> = path.split('/').collect();
        let body = if request.body().is_empty() {
            Value::Null
        } else {
            match serde_json::from_slice(request.body()) {
                Ok(body) => body,
                Err(_) => return refuse(400, "bad_request", "the body is no JSON"),
            }
        };
        match request.method().as_str() {
            "GET" => self.look(&parts, &Query::of(request)),
            "DELETE" => match *parts {
                ["droplets", id] => self.delete_droplet(number(id)),
                ["volumes", id] => self.delete_volume(id),
                _ => not_found(),
            },
            "POST" => match *parts {
                ["droplets"] => self.create_droplet(&body),
                ["droplets", id, "actions"] => self.switch_droplet(number(id), &body),
                ["volumes"] => self.create_volume(&body),
                ["volumes", id, "actions"] => self.act_on_volume(id, &body),
                _ => not_found(),
            },
            _ => not_found(),
        }
    }

    fn look(&self, parts: &[&str], query: &Query) -> Reply {
        match *parts {
            ["droplets"] => paged("droplets", query, self.list_droplets(query)),
            ["droplets", id] => self.read_droplet(number(id)),
            ["droplets", id, "actions"] if self.present().any(|(it, _)| it == number(id)) => {
                paged("actions", query, self.actions_of(number(id)))
            }
            ["volumes"] => paged("volumes", query, self.list_volumes(query)),
            ["volumes", id] => self.read_volume(id),
            ["actions", id] => self.show_action(number(id)),
            ["sizes"] => paged("sizes", query, self.list_sizes()),
            ["regions"] => paged("regions", query, self.list_regions()),
            _ => not_found(),
        }
    }

    /// Reads the tags of an order, which come into being with it.
    pub(super) fn tags_of(&mut self, body: &Value) -> Result<Vec<String>, Reply> {
        let mut tags: Vec<String> = Vec::new();
        for tag in body["tags"].as_array().into_iter().flatten() {
            let tag = tag.as_str().unwrap_or_default();
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b":-_".contains(&byte);
            if tag.is_empty() || tag.len() > 255 || !tag.bytes().all(legal) {
                return Err(unprocessable(
                    "Tags may contain letters, numbers, colons, dashes, and underscores.",
                ));
            }
            let tag = self.use_tag(tag);
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Ok(tags)
    }
}

/// Reads a number of a path; nothing has the number 0.
fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

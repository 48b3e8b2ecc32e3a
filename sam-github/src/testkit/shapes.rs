//! What the fake says, in GitHub's shapes.

use serde_json::{Map, Value, json};

use super::world::{FakeInstallation, FakeRepository, FakeUser, World};

const MADE_AT: &str = "2026-01-01T00:00:00Z";

/// Addresses of a repository's parts, as GitHub lists them: the member's name and the end.
const REPOSITORY_URLS: [(&str, &str); 37] = [
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
    ("url", ""),
];

const USER_URLS: [(&str, &str); 10] = [
    ("url", ""),
    ("followers_url", "/followers"),
    ("following_url", "/following{/other_user}"),
    ("gists_url", "/gists{/gist_id}"),
    ("starred_url", "/starred{/owner}{/repo}"),
    ("subscriptions_url", "/subscriptions"),
    ("organizations_url", "/orgs"),
    ("repos_url", "/repos"),
    ("events_url", "/events{/privacy}"),
    ("received_events_url", "/received_events"),
];

fn extend(object: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        object.extend(more);
    }
}

/// A user as others see it.
fn user(world: &World, user: &FakeUser) -> Map<String, Value> {
    let at = format!("{}/users/{}", world.api(), user.login);
    let urls =
        USER_URLS.iter().map(|(name, end)| ((*name).to_owned(), json!(format!("{at}{end}"))));
    let mut object: Map<String, Value> = urls.collect();
    extend(
        &mut object,
        json!({
            "login": user.login, "id": user.id, "node_id": format!("U_{}", user.id),
            "avatar_url": format!("{}/avatars/{}", world.base, user.id), "gravatar_id": "",
            "html_url": format!("{}/{}", world.base, user.login), "site_admin": false,
            "type": if user.is_organization { "Organization" } else { "User" },
        }),
    );
    object
}

/// The owner of something, by name; one that nobody made has the number 0.
fn owner(world: &World, login: &str) -> Value {
    let invented = || FakeUser { login: login.to_owned(), ..FakeUser::default() };
    let found = world.user(login).cloned().unwrap_or_else(invented);
    Value::Object(user(world, &found))
}

/// A user as it sees itself.
pub(super) fn myself(world: &World, me: &FakeUser) -> Value {
    let mut object = user(world, me);
    extend(
        &mut object,
        json!({
            "name": null, "company": null, "blog": "", "location": null, "email": me.public_email,
            "hireable": null, "bio": null, "public_repos": 0, "public_gists": 0, "followers": 0,
            "following": 0, "created_at": MADE_AT, "updated_at": MADE_AT, "private_gists": 0,
            "total_private_repos": 0, "owned_private_repos": 0, "disk_usage": 0,
            "collaborators": 0, "two_factor_authentication": true,
        }),
    );
    Value::Object(object)
}

pub(super) fn emails(me: &FakeUser) -> Value {
    let email = |(email, primary, verified): &(String, bool, bool)| {
        let visibility = if *primary { json!("private") } else { Value::Null };
        json!({ "email": email, "primary": primary, "verified": verified, "visibility": visibility })
    };
    me.emails.iter().map(email).collect()
}

pub(super) fn repository(world: &World, repo: &FakeRepository) -> Value {
    let full_name = repo.full_name();
    let at = format!("{}/repos/{full_name}", world.api());
    let html = format!("{}/{full_name}", world.base);
    let urls = REPOSITORY_URLS.iter();
    let urls = urls.map(|(name, end)| ((*name).to_owned(), json!(format!("{at}{end}"))));
    let mut object: Map<String, Value> = urls.collect();
    let default_branch = repo.branches.first().map_or("main", |(name, _)| name.as_str());
    extend(
        &mut object,
        json!({
            "id": repo.id, "node_id": format!("R_{}", repo.id), "name": repo.name,
            "full_name": full_name, "owner": owner(world, &repo.owner), "private": repo.is_private,
            "visibility": if repo.is_private { "private" } else { "public" },
            "html_url": html, "clone_url": format!("{html}.git"), "git_url": format!("{html}.git"),
            "ssh_url": format!("ssh://git@github.test/{full_name}.git"), "svn_url": html,
            "mirror_url": null, "homepage": null, "language": null, "license": null,
            "description": null, "fork": false, "default_branch": default_branch,
            "archived": repo.is_archived, "disabled": repo.is_disabled,
        }),
    );
    extend(
        &mut object,
        json!({
            "forks": 0, "forks_count": 0, "stargazers_count": 0, "watchers": 0, "watchers_count": 0,
            "size": 1, "open_issues": 0, "open_issues_count": 0, "subscribers_count": 0,
            "network_count": 0, "has_issues": true, "has_projects": false, "has_wiki": false,
            "has_pages": false, "has_downloads": true, "has_discussions": false,
            "pushed_at": MADE_AT, "created_at": MADE_AT, "updated_at": MADE_AT,
        }),
    );
    Value::Object(object)
}

/// With what a user may do there.
pub(super) fn repository_for(world: &World, repo: &FakeRepository, user: u64) -> Value {
    let mut value = repository(world, repo);
    let push = world.pushes(user, repo);
    value["permissions"] =
        json!({ "admin": false, "maintain": false, "push": push, "triage": push, "pull": true });
    value
}

/// What a user may do with a repository, as an App is told.
pub(super) fn user_permission(world: &World, repo: &FakeRepository, user: &FakeUser) -> Value {
    let allowed = match (world.sees(user.id, repo), world.pushes(user.id, repo)) {
        (_, true) => "write",
        (true, false) => "read",
        (false, false) => "none",
    };
    let mut shown = owner(world, &user.login);
    shown["role_name"] = json!(allowed);
    json!({ "permission": allowed, "role_name": allowed, "user": shown })
}

pub(super) fn branches(world: &World, repo: &FakeRepository) -> Vec<Value> {
    let at = format!("{}/repos/{}/commits", world.api(), repo.full_name());
    let branch = |(name, sha): &(String, String)| {
        let commit = json!({ "sha": sha, "url": format!("{at}/{sha}") });
        json!({ "name": name, "commit": commit, "protected": false })
    };
    repo.branches.iter().map(branch).collect()
}

pub(super) fn installation(world: &World, found: &FakeInstallation) -> Value {
    let (id, api) = (found.id, world.api());
    let account = owner(world, &found.account);
    let suspended_by = found.suspended_at.as_ref().map(|_| account.clone());
    json!({
        "id": id, "target_id": account["id"], "target_type": account["type"], "account": account,
        "repository_selection": if found.repositories.is_some() { "selected" } else { "all" },
        "access_tokens_url": format!("{api}/app/installations/{id}/access_tokens"),
        "repositories_url": format!("{api}/installation/repositories"),
        "html_url": format!("{}/settings/installations/{id}", world.base),
        "app_id": world.app.id, "app_slug": world.app.slug, "client_id": world.app.client_id,
        "permissions": found.permissions, "events": ["push"], "created_at": MADE_AT,
        "updated_at": MADE_AT, "single_file_name": null, "has_multiple_single_files": false,
        "single_file_paths": [], "suspended_by": suspended_by, "suspended_at": found.suspended_at,
    })
}

pub(super) fn app(world: &World) -> Value {
    let app = &world.app;
    json!({
        "id": app.id, "slug": app.slug, "node_id": format!("A_{}", app.id),
        "client_id": app.client_id, "owner": owner(world, "fake-owner"), "name": app.slug,
        "description": null, "external_url": "https://app.example.com",
        "html_url": format!("{}/apps/{}", world.base, app.slug), "created_at": MADE_AT,
        "updated_at": MADE_AT, "permissions": app.permissions, "events": ["push", "repository"],
        "installations_count": world.installations.len(),
    })
}

pub(super) fn deliveries(world: &World) -> Vec<Value> {
    let item = |sent: &super::Sent| {
        json!({
            "id": sent.id, "guid": sent.guid, "delivered_at": MADE_AT,
            "redelivery": sent.is_redelivery, "duration": 0.1, "status_code": sent.status,
            "status": if sent.status / 100 == 2 { "OK" } else { "failed to connect" },
            "event": sent.event, "action": null, "installation_id": null, "repository_id": null,
            "throttled_at": null,
        })
    };
    world.sent.iter().rev().map(item).collect()
}

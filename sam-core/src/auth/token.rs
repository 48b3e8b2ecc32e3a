//! Node tokens: what a request to an agent carries to say who asks and what for.
//!
//! A compact JWT with one algorithm, one header shape and a life of minutes. The algorithm is
//! fixed here and never read from the token, except to refuse another.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::CLOCK_SKEW_MAX;
use crate::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, WorkspaceId};
use crate::keys::{Signer, Verifier};
use crate::time::Timestamp;

pub(super) const ALGORITHM: &str = "EdDSA";

/// What a request may do on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeRight {
    /// See what goes on in a workspace.
    Activity,
    /// Make the node take nothing new.
    Drain,
    /// Run a command in a workspace.
    Exec,
    /// Check a workspace out.
    Prepare,
    /// Delete a workspace's files.
    Remove,
    /// Ask how the node is.
    Status,
    /// End a workspace's processes.
    Stop,
    /// Open, see, attach to and close terminals of a workspace.
    Terminal,
    /// Warn the people of a workspace.
    Warn,
    /// Declare work in a workspace, and end it.
    Work,
}

impl NodeRight {
    /// Returns the word used in tokens and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Drain => "drain",
            Self::Exec => "exec",
            Self::Prepare => "prepare",
            Self::Remove => "remove",
            Self::Status => "status",
            Self::Stop => "stop",
            Self::Terminal => "terminal",
            Self::Warn => "warn",
            Self::Work => "work",
        }
    }
}

/// What a node token says. Times count in whole seconds once it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeToken {
    /// The installation that signed it; at most 255 bytes.
    pub issuer: String,
    /// The node it is for.
    pub node: NodeId,
    /// Who asks; at most 255 bytes. For the audit log, not for decisions.
    pub actor: String,
    /// The one workspace it is for; `None` where the request concerns the whole node.
    pub workspace: Option<WorkspaceId>,
    /// What it allows.
    pub rights: BTreeSet<NodeRight>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl NodeToken {
    /// Longest token, in bytes.
    pub const BYTES_MAX: usize = 4_096;
    /// How long a token lives unless told otherwise: enough for one request on a slow link.
    pub const LIFETIME: Duration = Duration::from_mins(1);
    /// The longest life of a token.
    pub const LIFETIME_MAX: Duration = Duration::from_mins(5);
    /// Longest issuer and actor, in bytes.
    pub const NAME_BYTES_MAX: usize = 255;

    /// Makes the claims of a token without rights, for the whole node, good for
    /// [`Self::LIFETIME`].
    pub fn new(issuer: String, node: NodeId, actor: String, now: Timestamp) -> Self {
        let expires_at = now.plus(Self::LIFETIME);
        let rights = BTreeSet::new();
        Self { issuer, node, actor, workspace: None, rights, issued_at: now, expires_at }
    }

    /// Narrows it to one workspace.
    #[must_use]
    pub fn with_workspace(mut self, workspace: Option<WorkspaceId>) -> Self {
        self.workspace = workspace;
        self
    }

    /// Replaces what it allows.
    #[must_use]
    pub fn with_rights(mut self, rights: impl IntoIterator<Item = NodeRight>) -> Self {
        self.rights = rights.into_iter().collect();
        self
    }

    /// Replaces how long it lives, counted from its making; what is longer than
    /// [`Self::LIFETIME_MAX`] is cut.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.expires_at = self.issued_at.plus(lifetime.min(Self::LIFETIME_MAX));
        self
    }

    /// Checks that the token allows something on a workspace, or on the node when that is `None`.
    /// A right on one workspace is none on another.
    ///
    /// # Errors
    /// `Denied`.
    pub fn allow(&self, right: NodeRight, workspace: Option<WorkspaceId>) -> Result<()> {
        if !self.rights.contains(&right) {
            let message = format!("the token does not hold the right {:?}", right.name());
            return Err(Error::new(ErrorKind::Denied, message));
        }
        if workspace.is_some() && self.workspace != workspace {
            return Err(Error::new(ErrorKind::Denied, "the token is for another workspace"));
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) typ: String,
    pub(super) kid: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: NodeId,
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ws: Option<WorkspaceId>,
    rights: BTreeSet<NodeRight>,
    iat: u64,
    exp: u64,
}

/// Signs a node token.
///
/// # Errors
/// `BadInput` when a name is too long or the token would not be accepted; else what the signer
/// says.
///
/// ```
/// use sam_core::{NodeId, Secret};
/// use sam_core::auth::{NodeRight, NodeToken, sign_node_token, verify_node_token};
/// use sam_core::keys::{Ed25519Signer, Ed25519Verifier};
/// use sam_core::time::Timestamp;
/// # futures_util::future::FutureExt::now_or_never(async {
/// let signer = Ed25519Signer::from_seed(&Secret::new([7; 32]));
/// let verifier = Ed25519Verifier::new([signer.public_key()])?;
/// let (node, now) = (NodeId::from_bits(1), Timestamp::from_micros(1_000_000));
/// let claims = NodeToken::new("here".into(), node, "me".into(), now)
///     .with_rights([NodeRight::Status]);
/// let token = sign_node_token(&claims, &signer).await?;
/// let read = verify_node_token(token.expose(), &verifier, node, now)?;
/// read.allow(NodeRight::Status, None)?;
/// # Ok::<(), sam_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
pub async fn sign_node_token(token: &NodeToken, signer: &dyn Signer) -> Result<Secret<String>> {
    let refuse = |message: &str| Error::new(ErrorKind::BadInput, message);
    if token.issuer.len().max(token.actor.len()) > NodeToken::NAME_BYTES_MAX {
        return Err(refuse("issuer and actor of a node token have at most 255 bytes"));
    }
    let (iat, exp) = (token.issued_at.as_secs_unsigned(), token.expires_at.as_secs_unsigned());
    if exp <= iat || exp - iat > NodeToken::LIFETIME_MAX.as_secs() {
        return Err(refuse("a node token lives for 1 second to 5 minutes"));
    }
    let header = Header {
        alg: ALGORITHM.to_owned(),
        typ: "JWT".to_owned(),
        kid: signer.key_id().to_owned(),
    };
    let claims = Claims {
        iss: token.issuer.clone(),
        aud: token.node,
        sub: token.actor.clone(),
        ws: token.workspace,
        rights: token.rights.clone(),
        iat,
        exp,
    };
    let mut text = format!("{}.{}", encode(&header)?, encode(&claims)?);
    let signature = signer.sign(text.as_bytes()).await?;
    text.push('.');
    text.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(Secret::new(text))
}

/// Checks a node token and returns what it says.
///
/// # Errors
/// `Unauthenticated`, whatever is wrong with it; what it does not allow is for
/// [`NodeToken::allow`].
pub fn verify_node_token(
    text: &str,
    verifier: &dyn Verifier,
    expected: NodeId,
    now: Timestamp,
) -> Result<NodeToken> {
    if text.len() > NodeToken::BYTES_MAX {
        return Err(refuse("the node token is too long"));
    }
    let malformed = || refuse("the node token is malformed");
    let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
    let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
    let header: Header = decode(header).ok_or_else(malformed)?;
    if header.alg != ALGORITHM || header.typ != "JWT" {
        return Err(refuse("the node token names another algorithm"));
    }
    // Strict decoding: one text per byte string, so that a token has one spelling only.
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
    verifier.verify(&header.kid, signed.as_bytes(), &signature)?;
    let claims: Claims = decode(claims).ok_or_else(malformed)?;
    if claims.aud != expected {
        return Err(refuse("the node token is for another node"));
    }
    check_times(&claims, now)?;
    Ok(NodeToken {
        issuer: claims.iss,
        node: claims.aud,
        actor: claims.sub,
        workspace: claims.ws,
        rights: claims.rights,
        issued_at: from_secs(claims.iat),
        expires_at: from_secs(claims.exp),
    })
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<()> {
    let (now, skew) = (now.as_secs_unsigned(), CLOCK_SKEW_MAX.as_secs());
    let clocks = "check the clocks of the server and of the node";
    if claims.exp.saturating_sub(claims.iat) > NodeToken::LIFETIME_MAX.as_secs() {
        return Err(refuse("the node token lives too long"));
    }
    if now >= claims.exp.saturating_add(skew) {
        return Err(refuse("the node token has expired").with_hint(clocks));
    }
    if claims.iat > now.saturating_add(skew) {
        return Err(refuse("the node token is not valid yet").with_hint(clocks));
    }
    Ok(())
}

fn from_secs(secs: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(secs))
}

fn refuse(message: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, message)
}

pub(super) fn encode(part: &impl Serialize) -> Result<String> {
    let json = serde_json::to_vec(part).map_err(|error| {
        Error::new(ErrorKind::Bug, "a node token cannot be written").with_source(error)
    })?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

pub(super) fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Ed25519Signer, Ed25519Verifier};
    use futures_util::FutureExt as _;

    const NODE: NodeId = NodeId::from_bits(11);
    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn signer(seed: u8) -> Ed25519Signer {
        Ed25519Signer::from_seed(&Secret::new([seed; 32]))
    }

    fn claims() -> NodeToken {
        NodeToken::new("inst".into(), NODE, "ac-x".into(), NOW)
            .with_workspace(Some(WorkspaceId::from_bits(5)))
            .with_rights([NodeRight::Terminal, NodeRight::Exec])
    }

    fn signed(token: &NodeToken, signer: &Ed25519Signer) -> String {
        sign_node_token(token, signer).now_or_never().unwrap().unwrap().expose().clone()
    }

    /// Signs any header and claims, as somebody with the key but other software could.
    fn forged(header: &str, claims: &str, signer: &Ed25519Signer) -> String {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = signer.sign(text.as_bytes()).now_or_never().unwrap().unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn verify(text: &str, now: Timestamp) -> Result<NodeToken> {
        let verifier = Ed25519Verifier::new([signer(1).public_key()]).unwrap();
        verify_node_token(text, &verifier, NODE, now)
    }

    #[test]
    fn what_was_signed_is_read_back() {
        let token = claims();
        assert_eq!(verify(&signed(&token, &signer(1)), NOW).unwrap(), token);
    }

    #[test]
    fn time_is_judged_with_half_a_minute_of_tolerance() {
        let text = signed(&claims(), &signer(1));
        for (offset_secs, good) in [(0, true), (89, true), (90, false), (-30, true), (-31, false)] {
            let now = Timestamp::from_micros(NOW.as_micros() + offset_secs * 1_000_000);
            assert_eq!(verify(&text, now).is_ok(), good, "{offset_secs}");
        }
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let text = signed(&claims(), &signer(1));
        for index in 0..text.len() {
            let mut bent = text.clone().into_bytes();
            bent[index] = if bent[index] == b'A' { b'B' } else { b'A' };
            let error = verify(&String::from_utf8(bent).unwrap(), NOW).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "character {index}");
        }
    }

    #[test]
    fn other_headers_keys_nodes_and_lives_are_refused() {
        let (mine, kid) = (signer(1), signer(1).key_id().to_owned());
        let good_header = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#);
        let body = |aud: NodeId, exp: i64, more: &str| {
            let iat = NOW.as_secs_unsigned();
            let exp = iat.saturating_add_signed(exp);
            format!(
                r#"{{"iss":"i","aud":"{aud}","sub":"s","rights":["exec"],"iat":{iat},"exp":{exp}{more}}}"#
            )
        };
        let good_body = body(NODE, 60, "");
        verify(&forged(&good_header, &good_body, &mine), NOW).unwrap();
        for (name, header, claims) in [
            ("alg none", r#"{"alg":"none","typ":"JWT","kid":""}"#.to_owned(), good_body.clone()),
            ("alg HS256", good_header.replace("EdDSA", "HS256"), good_body.clone()),
            ("extra header", good_header.replace("{\"", "{\"jku\":\"x\",\""), good_body.clone()),
            ("no kid", r#"{"alg":"EdDSA","typ":"JWT"}"#.to_owned(), good_body.clone()),
            ("unknown kid", good_header.replace(&kid, "00"), good_body.clone()),
            ("another node", good_header.clone(), body(NodeId::from_bits(12), 60, "")),
            ("six minutes", good_header.clone(), body(NODE, 360, "")),
            ("long ended", good_header.clone(), body(NODE, -31, "")),
            ("extra claim", good_header.clone(), body(NODE, 60, r#","admin":true"#)),
            ("unknown right", good_header.clone(), good_body.replace("exec", "root")),
        ] {
            let error = verify(&forged(&header, &claims, &mine), NOW).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{name}");
        }
        verify(&signed(&claims(), &signer(2)), NOW).unwrap_err();
    }

    #[test]
    fn padding_missing_parts_and_long_texts_are_refused() {
        let text = signed(&claims(), &signer(1));
        let unsigned = text.rsplit_once('.').unwrap().0.to_owned();
        for bad in [
            format!("{text}="),
            format!("{text}.x"),
            format!("{unsigned}."),
            unsigned,
            String::new(),
            "..".to_owned(),
            "x".repeat(NodeToken::BYTES_MAX + 1),
        ] {
            assert!(verify(&bad, NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn rights_hold_for_one_workspace_only() {
        let token = claims();
        token.allow(NodeRight::Exec, Some(WorkspaceId::from_bits(5))).unwrap();
        for (right, workspace) in [
            (NodeRight::Exec, Some(WorkspaceId::from_bits(6))),
            (NodeRight::Remove, Some(WorkspaceId::from_bits(5))),
            (NodeRight::Drain, None),
        ] {
            assert_eq!(token.allow(right, workspace).unwrap_err().kind(), ErrorKind::Denied);
        }
        let node_wide = claims().with_workspace(None);
        assert!(node_wide.allow(NodeRight::Exec, Some(WorkspaceId::from_bits(5))).is_err());
    }

    #[test]
    fn a_token_nobody_would_accept_is_not_signed() {
        let long = NodeToken { actor: "a".repeat(256), ..claims() };
        let ended = NodeToken { expires_at: NOW, ..claims() };
        for token in [long, ended] {
            let result = sign_node_token(&token, &signer(1)).now_or_never().unwrap();
            assert_eq!(result.unwrap_err().kind(), ErrorKind::BadInput);
        }
    }
}

//! Users' tokens at GitHub, in the memory of this process: after a restart, and at another replica,
//! a person signs in again before anything is asked of GitHub in their name.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sam_core::AccountId;
use sam_github::sign_in::UserToken;

/// Most tokens that are kept; beyond it the one that was put here first goes.
const TOKENS_MAX: usize = 4_096;

#[derive(Default)]
pub(super) struct UserTokens(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_account: BTreeMap<AccountId, (u64, UserToken)>,
    put: u64,
}

impl UserTokens {
    /// Keeps an account's token in place of any before.
    pub(super) fn keep(&self, account: AccountId, token: UserToken) {
        let mut kept = self.lock();
        kept.put += 1;
        let number = kept.put;
        kept.by_account.insert(account, (number, token));
        if kept.by_account.len() > TOKENS_MAX {
            let oldest = kept.by_account.iter().min_by_key(|(_, (number, _))| *number);
            if let Some(oldest) = oldest.map(|(account, _)| *account) {
                kept.by_account.remove(&oldest);
            }
        }
    }

    /// Keeps what a token was refreshed to, unless it was ended or replaced meanwhile.
    pub(super) fn replace(&self, account: AccountId, old: &UserToken, fresh: UserToken) {
        if let Some((_, kept)) = self.lock().by_account.get_mut(&account)
            && kept.access.expose() == old.access.expose()
        {
            *kept = fresh;
        }
    }

    pub(super) fn of(&self, account: AccountId) -> Option<UserToken> {
        self.lock().by_account.get(&account).map(|(_, token)| token.clone())
    }

    /// Forgets an account's token, and returns it.
    pub(super) fn forget(&self, account: AccountId) -> Option<UserToken> {
        self.lock().by_account.remove(&account).map(|(_, token)| token)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sam_core::Secret;

    fn token(text: &str) -> UserToken {
        UserToken::new(Secret::new(text.to_owned()))
    }

    #[test]
    fn tokens_are_bounded_and_a_late_refresh_revives_nothing() {
        let tokens = UserTokens::default();
        let account = |number: usize| AccountId::from_bits(number as u128);
        for number in 0..=TOKENS_MAX {
            tokens.keep(account(number), token("t"));
        }
        assert!(tokens.of(account(0)).is_none() && tokens.of(account(1)).is_some());
        tokens.replace(account(1), &token("t"), token("u"));
        assert_eq!(tokens.of(account(1)).unwrap().access.expose(), "u");
        tokens.replace(account(1), &token("t"), token("v"));
        assert_eq!(tokens.forget(account(1)).unwrap().access.expose(), "u");
        tokens.replace(account(1), &token("u"), token("v"));
        assert!(tokens.of(account(1)).is_none());
    }
}

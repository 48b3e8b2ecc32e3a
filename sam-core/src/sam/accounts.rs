//! The verbs on accounts and their logins.

use super::nodes::readable;
use super::{CONFLICTS_MAX, Caller, Sam, too_many_conflicts};
use crate::Secret;
use crate::account::{AccountRecord, Admission, LoginChannel, LoginRecord, Visitor};
use crate::engine::{Stamped, Stored as _, decode, encode};
use crate::error::{Error, ErrorKind, Report, Result};
use crate::id::AccountId;
use crate::page::Page;
use crate::store::{CommitError, Due, Expect, ListQuery, Refusal, Write};

/// Logins that are ended in one commit.
const ENDED_AT_ONCE: usize = 32;

impl Sam {
    /// Signs somebody in whom a forge vouches for: makes the account, or writes down what the forge
    /// tells of it now. Repeatable; two at once make one account.
    ///
    /// # Errors
    /// `Denied` for whom `admission` does not admit, and for who has a name of the list that another
    /// account was let in by; `BadInput` for a name that is none; what the store answered.
    pub async fn sign_in_account(
        &self,
        visitor: &Visitor,
        admission: &Admission,
        caller: &Caller,
    ) -> Result<Stamped<AccountRecord>> {
        let legal = 1..=AccountRecord::HANDLE_BYTES_MAX;
        if !legal.contains(&visitor.handle.len()) || visitor.handle.chars().any(char::is_control) {
            return Err(Error::new(ErrorKind::BadInput, "the forge tells no usable name"));
        }
        for _ in 0..CONFLICTS_MAX {
            let known = self.account_of(&visitor.forge, visitor.number).await?;
            let admitted = admission.admit(visitor, known.as_ref().map(|known| &known.record));
            let admitted = admitted.ok_or_else(|| not_admitted(&visitor.handle))?;
            let now = self.0.clock.now();
            let (next, expect, event) = if let Some(known) = &known {
                let expect = Expect::Version(known.version);
                (known.record.seen(visitor, &admitted, now), expect, "account_signed_in")
            } else {
                let id = AccountId::new(now, &*self.0.entropy);
                let made = AccountRecord::new(id, visitor, &admitted, now);
                (made, Expect::Absent, "account_created")
            };
            let write = Write::put(next.key(), expect, encode(&next)?, event);
            let mut commit = self.commit_for(caller).with_write(write.with_index(next.index()));
            commit.unique = next.claims(known.as_ref().map(|known| &known.record));
            match self.commit(commit).await {
                Ok(committed) => {
                    let version = committed.version_of(&next.key()).unwrap_or(1);
                    return Ok(Stamped::new(next, version));
                }
                Err(CommitError::Refused(Refusal::UniqueTaken { space, .. }))
                    if space == AccountRecord::ADMISSIONS =>
                {
                    return Err(name_is_used(&visitor.handle));
                }
                // The same person, at the same time: found the next time round.
                Err(CommitError::Refused(
                    Refusal::UniqueTaken { .. } | Refusal::VersionMismatch { .. },
                )) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_conflicts())
    }

    /// Returns an account, or `None` when there never was one of this id.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` when the record cannot be read.
    pub async fn account(&self, id: AccountId) -> Result<Option<Stamped<AccountRecord>>> {
        let stored = self.0.store.load(&AccountRecord::key_of(id)).await?;
        stored.as_ref().map(decode::<AccountRecord>).transpose()
    }

    /// Returns the account of a forge's user.
    ///
    /// # Errors
    /// As [`Sam::account`].
    pub async fn account_of(
        &self,
        forge: &str,
        number: u64,
    ) -> Result<Option<Stamped<AccountRecord>>> {
        let identity = AccountRecord::identity(forge, number);
        let query = ListQuery::new(AccountRecord::KIND)
            .with_filter(AccountRecord::BY_IDENTITY, identity)
            .with_limit(1);
        let page = self.0.store.list(&query).await?;
        page.items.first().map(decode::<AccountRecord>).transpose()
    }

    /// Returns one page of accounts, oldest first. A record that cannot be read is passed over and
    /// logged.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn list_accounts(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Stamped<AccountRecord>>> {
        let query = ListQuery::new(AccountRecord::KIND).with_after(after).with_limit(limit);
        Ok(readable(&self.0.store.list(&query).await?))
    }

    /// Begins a login of an account and returns its token, which is kept nowhere. Beyond
    /// [`LoginRecord::PER_ACCOUNT_MAX`] the one that was not used for longest ends.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn begin_login(
        &self,
        account: &AccountRecord,
        channel: LoginChannel,
        user_agent: Option<&str>,
        caller: &Caller,
    ) -> Result<(Secret<String>, Stamped<LoginRecord>)> {
        let fresh = (self.0.clock.now(), &*self.0.entropy);
        let (token, login) = LoginRecord::new(account, channel, user_agent, fresh);
        let write = Write::put(login.key(), Expect::Absent, encode(&login)?, "login_began")
            .with_index(login.index())
            .with_due(Due::In(login.left(login.created_at)));
        let mut commit = self.commit_for(caller).with_write(write);
        let mut others = self.logins_of(account.id).await?;
        others.sort_by_key(|other| other.used_at);
        let surplus = (others.len() + 1).saturating_sub(LoginRecord::PER_ACCOUNT_MAX);
        commit.writes.extend(others.iter().take(surplus.min(ENDED_AT_ONCE)).map(ended));
        let committed = self.commit(commit).await?;
        let version = committed.version_of(&login.key()).unwrap_or(1);
        Ok((token, Stamped::new(login, version)))
    }

    /// Returns whose token it is, and writes down now and then that it is used; `None` for a token
    /// that is not, or not any more, a login's.
    ///
    /// # Errors
    /// What the store answered; `Corrupt` when a record cannot be read.
    pub async fn login(&self, token: &str) -> Result<Option<(LoginRecord, AccountRecord)>> {
        let Some(id) = LoginRecord::id_of(token) else { return Ok(None) };
        let Some(stored) = self.0.store.load(&LoginRecord::key_of(&id)).await? else {
            return Ok(None);
        };
        let login = decode::<LoginRecord>(&stored)?;
        let Some(account) = self.account(login.record.account).await? else { return Ok(None) };
        let (account, now) = (account.record, self.0.clock.now());
        if !login.record.is_good(&account, now) {
            return Ok(None);
        }
        let Some(used) = login.record.used(now) else { return Ok(Some((login.record, account))) };
        let expect = Expect::Version(login.version);
        let write = Write::put(used.key(), expect, encode(&used)?, "login_used")
            .with_index(used.index())
            .with_due(Due::In(used.left(now)));
        let caller = Caller::named(&account.id.to_string());
        match self.commit(self.commit_for(&caller).with_write(write)).await {
            // Refused: another request wrote it down, or it was ended just now, which the next one sees.
            Ok(_) | Err(CommitError::Refused(_)) => {}
            // It is good all the same.
            Err(error) => {
                let error = Error::from(error);
                tracing::warn!(error = %Report::new(&error), "a login's use was not written down");
            }
        }
        Ok(Some((used, account)))
    }

    /// Ends a login. Repeatable.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn end_login(&self, id: &str, caller: &Caller) -> Result<()> {
        let write = Write::delete(LoginRecord::key_of(id), Expect::Anything, "login_ended");
        self.commit(self.commit_for(caller).with_write(write)).await.map(drop).map_err(Error::from)
    }

    /// Ends all logins of an account, in one commit: none of before is good after it. Returns how
    /// many there were.
    ///
    /// # Errors
    /// `NotFound`; what the store answered.
    pub async fn end_logins(&self, account: AccountId, caller: &Caller) -> Result<usize> {
        let logins = self.logins_of(account).await?;
        self.void_logins(account, caller).await?;
        // They are void by now; their records go as well.
        for some in logins.chunks(ENDED_AT_ONCE) {
            let mut commit = self.commit_for(caller);
            commit.writes.extend(some.iter().map(ended));
            self.commit(commit).await?;
        }
        Ok(logins.len())
    }

    async fn void_logins(&self, id: AccountId, caller: &Caller) -> Result<()> {
        for _ in 0..CONFLICTS_MAX {
            let current = self.account(id).await?.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no account {id}"))
            })?;
            let next = current.record.signed_out_everywhere();
            let expect = Expect::Version(current.version);
            let write = Write::put(next.key(), expect, encode(&next)?, "account_signed_out")
                .with_index(next.index());
            match self.commit(self.commit_for(caller).with_write(write)).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_conflicts())
    }

    /// Returns the logins of an account that are not over.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn logins_of(&self, account: AccountId) -> Result<Vec<LoginRecord>> {
        let query = ListQuery::new(LoginRecord::KIND)
            .with_filter(LoginRecord::BY_ACCOUNT, account.to_string());
        // One page holds all, as there are few.
        let page = readable::<LoginRecord>(&self.0.store.list(&query).await?);
        let now = self.0.clock.now();
        let logins = page.items.into_iter().map(|login| login.record);
        Ok(logins.filter(|login| !login.left(now).is_zero()).collect())
    }
}

fn ended(login: &LoginRecord) -> Write {
    Write::delete(login.key(), Expect::Anything, "login_ended")
}

fn not_admitted(handle: &str) -> Error {
    Error::new(ErrorKind::Denied, format!("{handle} may not sign in here"))
        .with_hint("an administrator lists who may with SAM_SIGN_IN_GITHUB_LOGINS")
}

fn name_is_used(handle: &str) -> Error {
    let message = format!("another user was let in by the name {handle} before");
    Error::new(ErrorKind::Denied, message).with_hint(
        "an administrator who means this user lists it by its number: id:<number> in \
         SAM_SIGN_IN_GITHUB_LOGINS",
    )
}

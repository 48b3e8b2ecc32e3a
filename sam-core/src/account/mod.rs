//! Accounts: people who signed in at a forge, and the logins by which they are known from then on.
//!
//! An account is known by the forge and the forge's *number* of the user: names are given up and
//! taken by others. A login is what a browser or a command line holds: a random token of which only
//! the SHA-256 is in the store, as the key of the record that says whose it is. It ends by itself,
//! when it is ended, or with all logins of its account.

mod admission;
mod login;
mod record;
mod resource;

#[cfg(test)]
mod tests;

pub use self::admission::{Admission, Admitted, ParseAdmissionError};
pub use self::login::{LoginChannel, LoginRecord};
pub use self::record::{AccountRecord, Visitor};
pub use self::resource::{LoginObservation, LoginResource};

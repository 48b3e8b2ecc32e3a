//! What `sam github` takes.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use sam_github::Issuer;

#[derive(Debug, Subcommand)]
pub(crate) enum Github {
    /// The private key of an App: what it is, and the same key in another form
    Key {
        #[command(subcommand)]
        command: Key,
    },
    /// Write the App's own token, good for nine minutes
    Jwt {
        #[arg(
            long,
            value_name = "ID",
            help = "The App's number or client id [env: GITHUB_APP_ID]"
        )]
        app_id: Option<Issuer>,
        #[arg(
            long,
            value_name = "FILE",
            help = "The App's private key; `-` is standard input [env: GITHUB_APP_PRIVATE_KEY, \
                    GITHUB_APP_PRIVATE_KEY_PATH]"
        )]
        key: Option<PathBuf>,
    },
    /// Check the App that is configured, and say what is wrong with it
    Doctor {
        #[arg(
            long,
            value_name = "URL",
            help = "Where the server is reached from outside, to compare with the App's webhook"
        )]
        url: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Show what a key is, and nothing of its secret
    Inspect {
        /// The file, in any wrapping; `-` or nothing is standard input
        file: Option<PathBuf>,
    },
    /// Write the key in another form, without losing a byte of it
    Convert {
        /// The file, in any wrapping; `-` or nothing is standard input
        file: Option<PathBuf>,
        /// GitHub hands out PKCS#1; most signers take PKCS#8
        #[arg(long, value_enum, default_value = "pkcs8")]
        to: Structure,
        /// Text, or bytes
        #[arg(long, value_enum, default_value = "pem")]
        form: Form,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Structure {
    Pkcs1,
    Pkcs8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Der,
    Pem,
}

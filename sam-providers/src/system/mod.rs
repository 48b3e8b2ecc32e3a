//! This computer's clock and random numbers: the only places that read either.

mod clock;
mod entropy;

pub use self::clock::SystemClock;
pub use self::entropy::OsEntropy;

//! What a new machine is told, in the form that its vendor hands on.

use std::fmt;
use std::sync::Arc;

use sam_core::compute::BootData;
use sam_core::{Result, Secret};

/// Makes the user data of a machine from its boot data: usually a cloud-init document.
///
/// What comes out holds the single-use token, so it is a secret; adapters give it to the vendor and to
/// nobody else.
#[derive(Clone)]
pub struct UserData(Arc<Render>);

type Render = dyn Fn(&BootData) -> Result<Secret<String>> + Send + Sync;

impl UserData {
    /// Makes user data by a function.
    pub fn new(
        render: impl Fn(&BootData) -> Result<Secret<String>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(render))
    }

    /// Makes the user data of one machine.
    pub(crate) fn of(&self, boot: &BootData) -> Result<Secret<String>> {
        (self.0)(boot)
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserData")
    }
}

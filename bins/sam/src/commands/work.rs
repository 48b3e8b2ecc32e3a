//! `sam work`: says that a workspace is at work, or that it no longer is.

use sam_api::wire::{DeclareWork, WorkSort};

use crate::args::Work;
use crate::connect::Context;
use crate::failure::Failure;

pub(super) async fn work(context: &Context, work: &Work) -> Result<u8, Failure> {
    let client = context.connect().await?;
    if work.end {
        client.end_work(&work.workspace, &work.name).await?;
        return Ok(0);
    }
    let for_ms = u64::try_from(work.span.0.as_millis()).unwrap_or(u64::MAX);
    let request = DeclareWork { for_ms, sort: WorkSort::Background };
    client.declare_work(&work.workspace, &work.name, &request).await?;
    context.output.remark(&format!(
        "sam: {} keeps {} from being idle for {}",
        work.name, work.workspace, work.span
    ));
    Ok(0)
}

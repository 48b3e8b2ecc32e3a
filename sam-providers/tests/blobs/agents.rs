//! The agents' programs.

use bytes::Bytes;
use sam_core::ErrorKind;
use sam_core::blob::{BlobStore, PutBlob};
use sam_providers::blob::{AgentRelease, ObjectBlobs, find_agent, put_agent};

use crate::harness::{block_on, place};

fn release() -> AgentRelease {
    AgentRelease::new("0.1.0", "linux", "x86_64").unwrap()
}

async fn overwrite(blobs: &dyn BlobStore, key: &str, content: &'static str) {
    blobs.put(PutBlob::new(key.parse().unwrap(), content.into()).unwrap()).await.unwrap();
}

pub(crate) fn an_agent_is_found_as_it_was_put() {
    let place = place();
    let program = Bytes::from(vec![0x7f; 300_000]);
    block_on(async {
        for blobs in [ObjectBlobs::memory(), ObjectBlobs::directory(place.path()).unwrap()] {
            assert_eq!(find_agent(&blobs, &release()).await.unwrap(), None);
            let sum = put_agent(&blobs, &release(), program.clone()).await.unwrap();
            assert_eq!(find_agent(&blobs, &release()).await.unwrap().as_ref(), Some(&program));
            // The same again, as somebody does whose first try was cut off.
            assert_eq!(put_agent(&blobs, &release(), program.clone()).await.unwrap(), sum);
            let key = "agents/0.1.0/linux-x86_64/sam-agentd";
            assert_eq!(release().key().as_str(), key);
            let line = blobs.get(release().sum_key()).await.unwrap().unwrap();
            let line = line.collect(1_000).await.unwrap();
            // A line that `sha256sum -c` reads.
            assert!(line.ends_with(b"  sam-agentd\n") && line.len() == 64 + 13, "{line:?}");
        }
    });
}

pub(crate) fn what_is_not_whole_or_not_the_same_is_not_found() {
    let key = release().key().to_string();
    let sum = release().sum_key().to_string();
    block_on(async {
        let blobs = ObjectBlobs::memory();
        // Cut off before the sum: it is not there yet, and putting it again completes it.
        overwrite(&blobs, &key, "program").await;
        assert_eq!(find_agent(&blobs, &release()).await.unwrap(), None);
        put_agent(&blobs, &release(), "program".into()).await.unwrap();
        // Another program under the same version, longer, shorter and of the same length.
        for other in ["another program", "prog", "PROGRAM"] {
            let error = put_agent(&blobs, &release(), other.into()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{other}");
        }
        assert_eq!(find_agent(&blobs, &release()).await.unwrap().unwrap(), "program");
        // Somebody changed the program, or the sum, or took the program away.
        overwrite(&blobs, &key, "prOgram").await;
        let error = find_agent(&blobs, &release()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        overwrite(&blobs, &key, "program").await;
        overwrite(&blobs, &sum, "nonsense").await;
        assert_eq!(find_agent(&blobs, &release()).await.unwrap_err().kind(), ErrorKind::Corrupt);
        overwrite(&blobs, &sum, "00  sam-agentd").await;
        assert_eq!(find_agent(&blobs, &release()).await.unwrap_err().kind(), ErrorKind::Corrupt);
        blobs.delete(release().key()).await.unwrap();
        assert_eq!(find_agent(&blobs, &release()).await.unwrap_err().kind(), ErrorKind::Corrupt);
    });
}

pub(crate) fn names_that_leave_their_place_are_refused() {
    for (version, os, arch) in [
        ("", "linux", "x86_64"),
        ("..", "linux", "x86_64"),
        ("1/2", "linux", "x86_64"),
        ("1", "linux-gnu", "x86_64"),
        ("1", "linux", "x86/64"),
        ("1 2", "linux", "x86_64"),
        (&"1".repeat(65), "linux", "x86_64"),
    ] {
        let error = AgentRelease::new(version, os, arch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput, "{version} {os} {arch}");
    }
}

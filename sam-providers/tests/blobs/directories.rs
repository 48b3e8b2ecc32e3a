//! What only a directory goes through.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use futures_util::future::join_all;
use sam_core::ErrorKind;
use sam_core::blob::{BlobKey, BlobStore as _, ListBlobs, PutBlob, PutMode};
use sam_providers::blob::ObjectBlobs;

use crate::harness::{block_on, place};

fn key(text: &str) -> BlobKey {
    text.parse().unwrap()
}

fn put(text: &str, content: &'static str) -> PutBlob {
    PutBlob::new(key(text), content.into()).unwrap()
}

async fn read(blobs: &ObjectBlobs, text: &str) -> Option<bytes::Bytes> {
    Some(blobs.get(&key(text)).await.unwrap()?.collect(1 << 20).await.unwrap())
}

async fn listed(blobs: &ObjectBlobs, under: Option<&str>) -> Vec<String> {
    let page = blobs.list(&ListBlobs::new(under.map(key))).await.unwrap();
    page.items.iter().map(|blob| blob.key.to_string()).collect()
}

pub(crate) fn a_directory_is_private_and_found_again() {
    let place = place();
    let root = place.path().join("data/blobs");
    block_on(async {
        let blobs = ObjectBlobs::directory(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        blobs.put(put("a/b", "x")).await.unwrap();
        drop(blobs);
        let again = ObjectBlobs::directory(&root).unwrap();
        assert_eq!(read(&again, "a/b").await.as_deref(), Some(&b"x"[..]));
        // As it is documented, for those who look by hand.
        assert_eq!(fs::read(root.join("a/b@")).unwrap(), b"x");
        assert_eq!(again.to_string(), root.display().to_string());
    });
}

pub(crate) fn what_others_put_there_is_not_listed() {
    let place = place();
    block_on(async {
        let blobs = ObjectBlobs::directory(place.path()).unwrap();
        blobs.put(put("a/b", "x")).await.unwrap();
        // A file of somebody else, and what a killed writer leaves.
        for other in ["a/README", "a/b@#1", "a/b c@", "@"] {
            fs::write(place.path().join(other), "y").unwrap();
        }
        assert_eq!(listed(&blobs, None).await, ["a/b"]);
        blobs.put(put("a/b", "z").with_mode(PutMode::Replace)).await.unwrap();
        assert_eq!(read(&blobs, "a/b").await.as_deref(), Some(&b"z"[..]));
    });
}

pub(crate) fn keys_of_every_length_lie_side_by_side() {
    let place = place();
    block_on(async {
        let blobs = ObjectBlobs::directory(place.path()).unwrap();
        let mut keys: Vec<String> = [1, 199, 200, 201, 255, 256, 400, 401, 511, 512]
            .into_iter()
            .flat_map(|length| ["x".repeat(length), format!("{}.", "x".repeat(length - 1))])
            .chain([format!("{}/a", "x".repeat(400)), format!("{}./a", "x".repeat(400))])
            .filter(|text| text != ".")
            .collect();
        for key in &keys {
            blobs
                .put(PutBlob::new(key.parse().unwrap(), key.clone().into()).unwrap())
                .await
                .unwrap();
        }
        for key in &keys {
            assert_eq!(read(&blobs, key).await.unwrap(), key.as_bytes());
        }
        keys.sort();
        assert_eq!(listed(&blobs, None).await, keys);
        let long = "x".repeat(400);
        assert_eq!(listed(&blobs, Some(&long)).await, [long.clone(), format!("{long}/a")]);
    });
}

pub(crate) fn a_directory_that_cannot_be_used_is_named() {
    let place = place();
    let file = place.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = ObjectBlobs::directory(&file.join("blobs")).unwrap_err();
    assert!(error.public_message().contains("file/blobs"), "{error:?}");
    assert!(error.hint().is_some());
    block_on(async {
        let blobs = ObjectBlobs::directory(&place.path().join("blobs")).unwrap();
        let error = blobs
            .list(&ListBlobs::new(None).with_after(Some("no key".to_owned())))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
    });
}

pub(crate) fn deleting_leaves_no_directories() {
    let place = place();
    block_on(async {
        let blobs = ObjectBlobs::directory(place.path()).unwrap();
        blobs.put(put("logs/ws-1/a/boot", "x")).await.unwrap();
        blobs.put(put("logs/ws-2", "x")).await.unwrap();
        blobs.delete(&key("logs/ws-1/a/boot")).await.unwrap();
        let names: Vec<_> = fs::read_dir(place.path().join("logs")).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        blobs.delete(&key("logs/ws-2")).await.unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    });
}

pub(crate) fn writers_and_deleters_do_not_disturb_each_other() {
    let place = place();
    block_on(async {
        let blobs = ObjectBlobs::directory(place.path()).unwrap();
        // Each deletion empties the directory that the next write needs.
        let work = (0..8).map(|number| {
            let blobs = blobs.clone();
            async move {
                let key = format!("a/b/c/{number}");
                for _ in 0..25 {
                    blobs.put(put(&key, "x")).await.unwrap();
                    assert!(read(&blobs, &key).await.is_some());
                    blobs.list(&ListBlobs::new(None)).await.unwrap();
                    blobs.delete(&key.parse().unwrap()).await.unwrap();
                }
            }
        });
        join_all(work.map(tokio::spawn)).await.into_iter().for_each(|done| done.unwrap());
        assert!(listed(&blobs, None).await.is_empty());
    });
}

//! What is sold: sizes, regions, images.

use serde_json::{Value, json};

use super::DigitalOceanModel;

/// A size, with the price of an hour in hundred-thousandths of a dollar.
#[derive(Debug, Clone)]
pub(super) struct SizeOffer {
    pub(super) slug: String,
    pub(super) vcpus: u32,
    pub(super) memory: u32,
    disk: u32,
    price: u32,
    regions: &'static [&'static str],
    pub(super) available: bool,
}

/// Regions: slug and name.
const REGIONS: &[(&str, &str)] = &[
    ("nyc3", "New York 3"),
    ("ams3", "Amsterdam 3"),
    ("fra1", "Frankfurt 1"),
    ("sgp1", "Singapore 1"),
];
const EVERYWHERE: &[&str] = &["nyc3", "ams3", "fra1", "sgp1"];
const SOME: &[&str] = &["nyc3", "ams3"];

/// Images that machines start from.
const IMAGES: &[&str] = &["ubuntu-24-04-x64", "debian-13-x64"];

/// Returns the sizes of the day. The prices are near the real ones.
pub(super) fn sizes() -> Vec<SizeOffer> {
    let offer = |slug: &str, (vcpus, memory, disk), price, regions| SizeOffer {
        slug: slug.to_owned(),
        vcpus,
        memory,
        disk,
        price,
        regions,
        available: true,
    };
    vec![
        offer("s-1vcpu-1gb", (1, 1_024, 25), 893, EVERYWHERE),
        offer("s-2vcpu-2gb", (2, 2_048, 60), 2_679, EVERYWHERE),
        offer("s-2vcpu-4gb", (2, 4_096, 80), 3_571, EVERYWHERE),
        offer("s-2vcpu-4gb-120gb-intel", (2, 4_096, 120), 4_762, EVERYWHERE),
        offer("s-4vcpu-8gb", (4, 8_192, 160), 7_143, EVERYWHERE),
        offer("c-4", (4, 8_192, 50), 12_500, SOME),
        offer("s-8vcpu-16gb", (8, 16_384, 320), 14_286, EVERYWHERE),
        offer("g-8vcpu-32gb", (8, 32_768, 100), 37_500, SOME),
        offer("gpu-h100x1-80gb", (20, 245_760, 720), 338_990, SOME),
    ]
}

/// Shows an image by its slug.
pub(super) fn image(slug: &str) -> Value {
    json!({
        "id": 7_001, "name": "24.04 (LTS) x64", "type": "base", "distribution": "Ubuntu", "slug": slug,
        "public": true, "regions": EVERYWHERE, "created_at": "2026-01-01T00:00:00Z",
        "min_disk_size": 10, "size_gigabytes": 2.36, "description": "an image", "tags": [],
        "status": "available",
    })
}

pub(super) fn is_image(slug: &str) -> bool {
    IMAGES.contains(&slug)
}

impl DigitalOceanModel {
    pub(super) fn is_region(slug: &str) -> bool {
        REGIONS.iter().any(|(known, _)| *known == slug)
    }

    /// Returns a size by its slug.
    pub(super) fn size(&self, slug: &str) -> Option<&SizeOffer> {
        self.sizes.iter().find(|offer| offer.slug == slug)
    }

    /// Returns whether new droplets of a size can be made in a region.
    pub(super) fn is_sold(&self, offer: &SizeOffer, region: &str) -> bool {
        let gone = |list: &[String]| list.iter().any(|known| known == region);
        offer.available
            && offer.regions.contains(&region)
            && !gone(&self.sold_out)
            && !gone(&self.closed)
    }

    pub(super) fn show_size(offer: &SizeOffer) -> Value {
        let hourly = f64::from(offer.price) / 100_000.0;
        let mut shown = json!({
            "slug": offer.slug, "memory": offer.memory, "vcpus": offer.vcpus, "disk": offer.disk,
            "transfer": 4.0, "price_monthly": hourly * 672.0, "price_hourly": hourly,
            "regions": offer.regions, "available": offer.available, "description": "Basic",
        });
        if offer.slug.starts_with("gpu-") {
            shown["gpu_info"] = json!({
                "count": 1, "model": "nvidia_h100", "vram": { "amount": 80, "unit": "gib" },
            });
        }
        shown
    }

    pub(super) fn list_sizes(&self) -> Vec<Value> {
        self.sizes.iter().map(Self::show_size).collect()
    }

    pub(super) fn show_region(&self, slug: &str) -> Value {
        let name = REGIONS.iter().find(|(known, _)| *known == slug).map(|(_, name)| *name);
        let is_open = !self.closed.iter().any(|known| known == slug);
        let sold = self.sizes.iter().filter(|offer| offer.regions.contains(&slug));
        json!({
            "name": name, "slug": slug, "features": ["backups", "ipv6", "metadata", "storage"],
            "available": is_open, "sizes": sold.map(|offer| &*offer.slug).collect::<Vec<_>>(),
        })
    }

    pub(super) fn list_regions(&self) -> Vec<Value> {
        REGIONS.iter().map(|(slug, _)| self.show_region(slug)).collect()
    }
}

//! What is sold: types, locations, images.

use serde_json::{Value, json};

use super::requests::Query;
use super::{HetznerModel, Reply, lists};

/// A type, with the price of an hour in ten-thousandths.
#[derive(Debug, Clone)]
pub(super) struct TypeOffer {
    id: u64,
    pub(super) name: String,
    cores: u32,
    memory: u32,
    disk: u32,
    price: u32,
    architecture: &'static str,
    locations: &'static [&'static str],
    pub(super) retired: bool,
}

const EUROPE: &[&str] = &["fsn1", "nbg1", "hel1"];
const EVERYWHERE: &[&str] = &["fsn1", "nbg1", "hel1", "ash", "hil"];

/// Locations: number, name, description, country, city, zone.
const LOCATIONS: &[(u64, &str, &str, &str, &str, &str)] = &[
    (1, "fsn1", "Falkenstein DC Park 1", "DE", "Falkenstein", "eu-central"),
    (2, "nbg1", "Nuremberg DC Park 1", "DE", "Nuremberg", "eu-central"),
    (3, "hel1", "Helsinki DC Park 1", "FI", "Helsinki", "eu-central"),
    (4, "ash", "Ashburn, VA", "US", "Ashburn, VA", "us-east"),
    (5, "hil", "Hillsboro, OR", "US", "Hillsboro, OR", "us-west"),
];

/// Images that machines start from.
pub(super) const IMAGES: &[&str] = &["ubuntu-24.04", "debian-13", "docker-ce"];

/// Returns the types of the day. The prices are near the real ones.
pub(super) fn types() -> Vec<TypeOffer> {
    let offer = |id, name: &str, (cores, memory, disk), price, architecture, locations, retired| {
        TypeOffer {
            id,
            name: name.to_owned(),
            cores,
            memory,
            disk,
            price,
            architecture,
            locations,
            retired,
        }
    };
    vec![
        offer(104, "cx22", (2, 4, 40), 60, "x86", EUROPE, true),
        offer(105, "cx32", (4, 8, 80), 110, "x86", EUROPE, true),
        offer(106, "cx42", (8, 16, 160), 270, "x86", EUROPE, true),
        offer(114, "cx23", (2, 4, 40), 50, "x86", EUROPE, false),
        offer(115, "cx33", (4, 8, 80), 80, "x86", EUROPE, false),
        offer(116, "cx43", (8, 16, 160), 150, "x86", EUROPE, false),
        offer(45, "cax11", (2, 4, 40), 40, "arm", EUROPE, false),
        offer(46, "cax21", (4, 8, 80), 70, "arm", EUROPE, false),
        offer(22, "cpx11", (2, 2, 40), 70, "x86", EVERYWHERE, false),
        offer(23, "cpx21", (3, 4, 80), 120, "x86", EVERYWHERE, false),
        offer(24, "cpx31", (4, 8, 160), 220, "x86", EVERYWHERE, false),
        offer(25, "cpx41", (8, 16, 240), 400, "x86", EVERYWHERE, false),
        offer(96, "ccx13", (2, 8, 80), 200, "x86", EVERYWHERE, false),
        offer(97, "ccx23", (4, 16, 160), 390, "x86", EVERYWHERE, false),
    ]
}

/// Shows a location by its name.
pub(super) fn location(name: &str) -> Option<Value> {
    let (id, name, description, country, city, zone) =
        LOCATIONS.iter().find(|(_, known, ..)| *known == name)?;
    Some(json!({
        "id": id, "name": name, "description": description, "country": country, "city": city,
        "latitude": 50.0, "longitude": 12.0, "network_zone": zone,
    }))
}

/// Shows an image by its name.
pub(super) fn image(name: &str) -> Value {
    json!({
        "id": 7001, "type": "system", "status": "available", "name": name, "description": name,
        "image_size": null, "disk_size": 5, "created": "2026-01-01T00:00:00Z", "created_from": null,
        "bound_to": null, "os_flavor": "unknown", "os_version": null, "rapid_deploy": true,
        "protection": { "delete": false }, "deprecated": null, "deleted": null, "labels": {},
        "architecture": "x86",
    })
}

impl HetznerModel {
    /// Returns a type that new servers can be made of in a location.
    pub(super) fn sold_type(&self, name: &str, location: &str) -> Option<&TypeOffer> {
        let sold = |offer: &&TypeOffer| {
            offer.name == name && !offer.retired && offer.locations.contains(&location)
        };
        self.types.iter().find(sold)
    }

    pub(super) fn is_sold_out(&self, location: &str) -> bool {
        self.sold_out.iter().any(|known| known == location)
    }

    pub(super) fn show_type(&self, offer: &TypeOffer) -> Value {
        let end = offer.retired.then(|| {
            json!({ "announced": "2025-10-16T06:00:00Z", "unavailable_after": "2026-01-01T00:00:00Z" })
        });
        let amount = |ten_thousandths: u32| {
            let text = |n: u32| format!("{}.{:04}000000000000", n / 10_000, n % 10_000);
            json!({ "net": text(ten_thousandths), "gross": text(ten_thousandths * 119 / 100) })
        };
        let locations = offer.locations.iter().filter_map(|name| {
            let id = location(name)?["id"].clone();
            let available = !offer.retired && !self.is_sold_out(name);
            Some(json!({
                "id": id, "name": name, "deprecation": end, "available": available,
                "recommended": available,
            }))
        });
        let prices = offer.locations.iter().map(|name| {
            json!({
                "location": name,
                "price_hourly": amount(offer.price),
                "price_monthly": amount(offer.price * 620),
                "included_traffic": 21_990_232_555_520_u64,
                "price_per_tb_traffic": amount(10_000),
            })
        });
        json!({
            "id": offer.id, "name": offer.name, "description": offer.name.to_uppercase(),
            "cores": offer.cores, "memory": f64::from(offer.memory), "disk": offer.disk,
            "deprecated": offer.retired, "deprecation": end, "prices": prices.collect::<Vec<_>>(),
            "storage_type": "local", "cpu_type": "shared", "category": "Shared",
            "architecture": offer.architecture, "locations": locations.collect::<Vec<_>>(),
        })
    }

    pub(super) fn list_types(&self, query: &Query) -> Reply {
        lists::paged("server_types", query, &self.types, |offer| self.show_type(offer))
    }

    pub(super) fn list_locations(query: &Query) -> Reply {
        lists::paged("locations", query, LOCATIONS, |(_, name, ..)| {
            location(name).unwrap_or_default()
        })
    }
}

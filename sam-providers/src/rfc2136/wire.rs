//! Messages: made, signed, checked and read. The one file that knows the crate for it.

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as WireAlgorithm;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, TXT};
use hickory_proto::rr::{
    DNSClass, Name, RData, Record, RecordType as WireType, TSigVerifier, TSigner,
};
use sam_core::dns::{RecordKey, RecordName, RecordType, RecordValue};
use sam_core::{Error, ErrorKind, Result};

use super::config::{TsigAlgorithm, TsigKey};

/// How far the clocks of both sides may be apart, in seconds: what everybody uses.
const FUDGE_SECS: u16 = 300;

/// What is asked of the server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask<'a> {
    /// The records of a key.
    Look(&'a RecordKey),
    /// The record that a zone begins with.
    Start,
    /// The whole zone.
    Transfer,
    /// All changes, if all of what is required holds; none of them otherwise.
    Update(&'a [Require<'a>], &'a [Change<'a>]),
}

/// What must hold before an update. Wildcards play no part in it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Require<'a> {
    /// Nothing has this name.
    Free(&'a RecordName),
    /// The set is there, whatever its values.
    Present(&'a RecordName, RecordType),
    /// The set is not there.
    Absent(&'a RecordName, RecordType),
}

/// One change of an update.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    Add(&'a RecordName, u32, &'a RecordValue),
    Delete(&'a RecordName, RecordType),
}

/// What a message of the server says.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) code: u16,
    /// The code that stands in the signature.
    pub(super) signature_code: Option<u16>,
    /// The signature is there and right.
    pub(super) is_signed: bool,
    pub(super) is_authoritative: bool,
    pub(super) records: Vec<Found>,
}

/// One record of an answer.
#[derive(Debug)]
pub(super) struct Found {
    /// `None` for a name or a type that SAM never puts.
    pub(super) key: Option<RecordKey>,
    pub(super) value: Option<RecordValue>,
    pub(super) ttl_secs: u32,
    /// It is the record that a zone begins with.
    pub(super) is_start: bool,
}

/// Signs what is sent.
pub(super) struct Signer {
    key: TSigner,
    zone: Name,
}

/// A message to send, and what checks the answers to it.
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    id: u16,
    verifier: TSigVerifier,
}

impl Signer {
    pub(super) fn new(key: &TsigKey, zone: &RecordName) -> Result<Self> {
        let algorithm = match key.algorithm {
            TsigAlgorithm::HmacSha256 => WireAlgorithm::HmacSha256,
            TsigAlgorithm::HmacSha384 => WireAlgorithm::HmacSha384,
            TsigAlgorithm::HmacSha512 => WireAlgorithm::HmacSha512,
        };
        let name = Name::from_ascii(format!("{}.", key.name)).map_err(unwritable)?;
        let key = TSigner::new(key.secret.expose().clone(), algorithm, name, FUDGE_SECS);
        Ok(Self { key: key.map_err(unwritable)?, zone: wire_name(zone)? })
    }

    /// Makes a message and signs it at a time, in seconds since 1970.
    pub(super) fn seal(&self, id: u16, ask: Ask<'_>, now_secs: u64) -> Result<Sealed> {
        let mut message = self.message(id, ask)?;
        let signed = message.finalize(&self.key, now_secs).map_err(unwritable)?;
        let verifier = signed.ok_or_else(|| {
            Error::new(ErrorKind::Bug, "a signed message has nothing to check its answer with")
        })?;
        Ok(Sealed { bytes: message.to_vec().map_err(unwritable)?, id, verifier })
    }

    fn message(&self, id: u16, ask: Ask<'_>) -> Result<Message> {
        let code = if matches!(ask, Ask::Update(..)) { OpCode::Update } else { OpCode::Query };
        let mut message = Message::new(id, MessageType::Query, code);
        let query = match ask {
            Ask::Look(key) => Query::query(wire_name(&key.name)?, wire_type(key.record_type)),
            Ask::Transfer => Query::query(self.zone.clone(), WireType::AXFR),
            Ask::Start | Ask::Update(..) => Query::query(self.zone.clone(), WireType::SOA),
        };
        message.add_query(query);
        if let Ask::Update(required, changes) = ask {
            // The sections of an update stand where a query has its answers and authorities.
            for require in required {
                message.add_answer(requirement(require)?);
            }
            for change in changes {
                message.add_authority(update(change)?);
            }
        }
        Ok(message)
    }
}

impl Sealed {
    /// Reads an answer. Several belong to one question when a zone is transferred; each signature
    /// depends on the one before it.
    pub(super) fn open(&mut self, bytes: &[u8]) -> Result<Told> {
        let message = Message::from_vec(bytes).map_err(|_| unreadable())?;
        let metadata = &message.metadata;
        if metadata.message_type != MessageType::Response || metadata.id != self.id {
            return Err(unreadable());
        }
        Ok(Told {
            code: metadata.response_code.into(),
            signature_code: message
                .signature
                .as_ref()
                .and_then(|signature| signature.data.error.map(u16::from)),
            is_signed: self.verifier.verify(bytes).is_ok(),
            is_authoritative: metadata.authoritative,
            records: message.answers.iter().map(found).collect(),
        })
    }
}

/// A requirement, as RFC 2136 §2.4 writes it.
fn requirement(require: &Require<'_>) -> Result<Record> {
    let (class, name, record_type) = match require {
        Require::Free(name) => (DNSClass::NONE, name, WireType::ANY),
        Require::Present(name, record_type) => (DNSClass::ANY, name, wire_type(*record_type)),
        Require::Absent(name, record_type) => (DNSClass::NONE, name, wire_type(*record_type)),
    };
    Ok(of_class(Record::update0(wire_name(name)?, 0, record_type), class))
}

/// A change, as RFC 2136 §2.5 writes it.
fn update(change: &Change<'_>) -> Result<Record> {
    match change {
        Change::Add(name, ttl, value) => {
            Ok(Record::from_rdata(wire_name(name)?, *ttl, wire_value(value)?))
        }
        Change::Delete(name, record_type) => {
            let record = Record::update0(wire_name(name)?, 0, wire_type(*record_type));
            Ok(of_class(record, DNSClass::ANY))
        }
    }
}

const fn of_class(mut record: Record, class: DNSClass) -> Record {
    record.dns_class = class;
    record
}

fn found(record: &Record) -> Found {
    let record_type = match record.record_type() {
        WireType::A => Some(RecordType::A),
        WireType::AAAA => Some(RecordType::Aaaa),
        WireType::CNAME => Some(RecordType::Cname),
        WireType::TXT => Some(RecordType::Txt),
        _ => None,
    };
    let name = record.name.to_ascii().parse().ok();
    Found {
        key: name.zip(record_type).map(|(name, record_type)| RecordKey::new(name, record_type)),
        value: value(&record.data),
        ttl_secs: record.ttl,
        is_start: record.record_type() == WireType::SOA,
    }
}

/// `None` for a value that SAM never puts.
fn value(data: &RData) -> Option<RecordValue> {
    match data {
        RData::A(A(address)) => Some(RecordValue::A(*address)),
        RData::AAAA(AAAA(address)) => Some(RecordValue::Aaaa(*address)),
        RData::CNAME(CNAME(name)) => name.to_ascii().parse().ok().map(RecordValue::Cname),
        RData::TXT(text) => {
            let bytes: Vec<u8> =
                text.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
            RecordValue::txt(&String::from_utf8(bytes).ok()?).ok()
        }
        _ => None,
    }
}

fn wire_value(value: &RecordValue) -> Result<RData> {
    Ok(match value {
        RecordValue::A(address) => RData::A(A(*address)),
        RecordValue::Aaaa(address) => RData::AAAA(AAAA(*address)),
        RecordValue::Cname(name) => RData::CNAME(CNAME(wire_name(name)?)),
        RecordValue::Txt(text) => RData::TXT(TXT::new(vec![text.as_str().to_owned()])),
        _ => return Err(Error::new(ErrorKind::BadInput, "this type of value is not put here")),
    })
}

fn wire_type(record_type: RecordType) -> WireType {
    match record_type {
        RecordType::A => WireType::A,
        RecordType::Aaaa => WireType::AAAA,
        RecordType::Cname => WireType::CNAME,
        RecordType::Txt => WireType::TXT,
        // A new one of ours is asked for and never found, until it is added here.
        _ => WireType::NULL,
    }
}

fn wire_name(name: &RecordName) -> Result<Name> {
    Name::from_ascii(format!("{name}.")).map_err(unwritable)
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::BadInput, "the DNS message cannot be written").with_source(error)
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Corrupt, "the answer is no DNS message for what was asked")
}

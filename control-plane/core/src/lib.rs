//! Sallyport's rules, without clock, I/O, randomness or task: `now` and ids are arguments.
//!
//! The path of a request (ARCHITECTURE.md) runs through proof types that only the stage before can make:
//! [`identity::Identity`] → [`attributes::Attributes`] → [`decision::Decision`] → [`decision::Allowed`] → [`grant::Grant`] →
//! [`grant::VerifiedGrant`]. Their fields are private, none is `Clone`, and each step takes the one before by value.

pub mod attributes;
pub mod body;
pub mod decision;
pub mod digest;
pub mod documents;
pub mod finish;
pub mod four_eyes;
pub mod grant;
pub mod headers;
pub mod hide;
pub mod identity;
pub mod intent;
pub mod internal;
pub mod ledger;
pub mod lifecycle;
pub mod mask;
mod percent;
pub mod policy;
mod protobuf;
pub mod query;
pub mod request;
pub mod request_info;
pub mod reserved;
pub mod restore;
pub mod risk;
pub mod statement;
#[cfg(test)]
mod tests;
pub mod version_pin;

//! Sallyport's rules, without clock, I/O, randomness or task: `now` and ids are arguments.
//!
//! The path of a request (ARCHITECTURE.md) runs through proof types that only the stage before can make:
//! [`identity::Identity`] → [`attributes::Attributes`] → [`decision::Decision`] → [`decision::Allowed`] → [`grant::Grant`] →
//! [`grant::VerifiedGrant`]. Their fields are private, none is `Clone`, and each step takes the one before by value.

pub mod attributes;
pub mod decision;
pub mod digest;
pub mod identity;
pub mod policy;
pub mod request_info;
pub mod risk;
pub mod version_pin;

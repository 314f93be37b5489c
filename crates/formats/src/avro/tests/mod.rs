//! Tests of decoding: what each type becomes, what resolution does, what each trap is refused with, and properties over
//! random schemas and bytes.

mod budget;
mod conforms;
mod linear;
mod misbehaving;
mod properties;
mod random;
mod resolution;
mod rows;
mod traps;
mod types;
mod unknown;

//! First contact by PIN: who knows the digits is paired, who does not learns nothing and has few tries (SPEC §8.5–§8.8).

mod attacks;
mod parties;
mod people;

//! A seeded network simulator in virtual time for RIFT sessions

//! House rules as tests: layout, arrows, lengths, licences

//! The judge of congestion control: cases, one sender and one receiver for everybody, figures.
//!
//! Every controller gets the same pictures, packets, pacer, parity rule and feedback; only its decisions differ.
//! [`cases`] are those of RFC 8867 and more; [`run()`] plays one with a seed, [`score()`] reads the figures. Our own
//! controller is [`DeltaController`]; the rivals here are written from their RFCs and drafts ([`Nada`], [`Scream`],
//! [`Gcc`]) or stand for what is common ([`Fixed`]). Further ones implement [`Controller`].
//!
//! What is done in the rivals' favour: NADA is told the largest rate the path will ever have; all of them get DELTA's
//! parity rule, and the split of their rate into pictures and parity. GCC is written here too: the one in crates has
//! no public face of its own, and a whole WebRTC stack around it would choose its own packets, pace and padding.

mod case;
mod controller;
mod fixed;
mod gcc;
mod media;
mod nada;
mod run;
mod score;
mod scream;
mod source;
mod stream;
mod table;
mod wire;

pub use case::{Case, Cross, Flow, Goal, Path, Shape, cases};
pub use controller::{Brief, Controller, DeltaController, Grant};
pub use fixed::Fixed;
pub use gcc::Gcc;
pub use nada::Nada;
pub use run::{FlowTrace, Maker, Picture, Trace, brief, run};
pub use score::{METRICS, Score, WARM_UP, score};
pub use scream::Scream;
pub use stream::Algorithm;
pub use table::{Make, OWN, table};

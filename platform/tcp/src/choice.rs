//! Where a service takes streams, as its operator says it.

use core::net::SocketAddr;
use core::str::FromStr;
use std::io;

use rift::Identity;

use crate::{Limits, Listener, PORT};

/// Where a service takes streams: an address, `off`, or where it is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// At port [`PORT`] of the address of its UDP port; where that is taken or not permitted, at the number of the UDP port.
    #[default]
    Expected,
    /// Nowhere.
    Off,
    /// There, or it does not start.
    At(SocketAddr),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "" => Ok(Self::Expected),
            address => address.parse().map(Self::At).map_err(|_| {
                format!("{address}: give ADDRESS:PORT, such as [::]:{PORT}, or `off` to take no streams")
            }),
        }
    }
}

/// What became of a [`Choice`].
#[derive(Debug)]
pub enum Outcome {
    /// Streams are taken.
    Listening(Listener),
    /// As was asked for: none are taken.
    Off,
    /// None are taken: neither of the two ports is to be had. What the system said of [`PORT`].
    Unavailable(io::Error),
}

impl Choice {
    /// Takes streams for the service of this identity that is bound to the UDP address `service`. One at a port of the
    /// system's choice, as in a trial, takes none unless told where.
    ///
    /// # Errors
    /// The system's, of an address that was asked for.
    pub fn carry_out(
        self,
        identity: &Identity,
        service: SocketAddr,
        asked: SocketAddr,
    ) -> io::Result<Outcome> {
        let at = |port| SocketAddr::new(asked.ip(), port);
        let listen = |address| Listener::start(identity, address, service, Limits::default());
        match self {
            Self::Off => Ok(Outcome::Off),
            Self::Expected if asked.port() == 0 => Ok(Outcome::Off),
            Self::At(address) => listen(address).map(Outcome::Listening),
            Self::Expected => Ok(listen(at(PORT)).map_or_else(
                |error| listen(at(service.port())).map_or(Outcome::Unavailable(error), Outcome::Listening),
                Outcome::Listening,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_is_an_address_or_off() {
        assert_eq!("off".parse(), Ok(Choice::Off));
        assert_eq!("".parse(), Ok(Choice::Expected));
        assert_eq!("[::]:443".parse(), Ok(Choice::At(([0_u16; 8], 443).into())));
        assert!("443".parse::<Choice>().expect_err("no address").contains("off"));
    }

    #[test]
    fn trial_takes_no_streams_unless_told_where() {
        let identity = Identity::from_secret([1; 32]);
        let (service, asked) = (([127, 0, 0, 1], 5).into(), ([127, 0, 0, 1], 0).into());
        let outcome = |choice: Choice| choice.carry_out(&identity, service, asked).expect("a free port");
        assert!(matches!(outcome(Choice::Expected), Outcome::Off));
        assert!(matches!(outcome(Choice::At(asked)), Outcome::Listening(_)));
    }
}

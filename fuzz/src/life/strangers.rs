//! Who is not the client: strangers that know the host's key and press it, and somebody on the way who says what he likes.

use core::net::SocketAddr;

use rift::crypto::{Mac1Key, Side};
use rift::limits::REPLY_MAX;
use rift::wire::handshake::{CALL_LEN, CookieReply, FirstFlight, Fragment, Versions};
use rift::wire::path::Reset;
use rift::wire::{DataHeader, Kind};
use rift::{Handshake, Opening, Route};

use super::World;
use crate::bytes::Bytes;
use crate::known::{HOST, Known};
use crate::pair::PATH;

/// Flights of strangers at once: more than are computed without a cookie.
const FLIGHTS_MAX: u8 = 60;

impl World {
    /// Strangers begin handshakes and come no further.
    pub(super) fn strangers(&mut self, bytes: &mut Bytes<'_>) {
        let (count, shape) = (bytes.u8() % FLIGHTS_MAX, bytes.u8());
        let opening = if shape & 1 == 0 { Opening::XX } else { Opening::IK };
        let version = if shape & 2 == 0 { rift::wire::VERSION } else { shape | 0x80 };
        for number in 0..count {
            let mut handshake = Known::of(Side::Initiator, opening);
            let (mut noise, mut datagram) = ([0; 256], [0; CALL_LEN]);
            let payload = [number, shape, count, 9];
            let len = handshake.write_message(&payload, &mut noise).expect("its turn");
            let key = Mac1Key::new(&HOST);
            let len = FirstFlight::emit(&mut datagram, opening, &noise[..len], |bytes| key.mac1(bytes));
            let flight = &mut datagram[..len.expect("there is room")];
            as_version(flight, version, &key);
            self.knock(flight, SocketAddr::from(([192, 0, 2, number], 7)), version);
        }
    }

    fn knock(&mut self, flight: &[u8], from: SocketAddr, version: u8) {
        let mut reply = [0; REPLY_MAX];
        let responder = |opening: Opening| Known::of(Side::Responder, opening);
        if let Ok(Route::Reply(len)) =
            self.endpoint.handle_datagram(self.now, from, flight, responder, &mut reply)
        {
            assert!(len <= flight.len(), "strangers are sent no more than they sent");
            let kind = Kind::of(reply[0]);
            assert!((kind == Some(Kind::Versions)) == (version != rift::wire::VERSION), "SPEC §4.17");
            let Some(CookieReply { .. }) = CookieReply::parse(&reply[..len]) else { return };
            // A flight with a wrong cookie is nobody's.
            let mut guessed = flight.to_vec();
            let at = FirstFlight::parse(flight).expect("it was one").with_mac1.len();
            guessed[at..at + 16].fill(7);
            let known = self.endpoint.handle_datagram(self.now, from, &guessed, responder, &mut reply);
            assert!(known.is_err(), "a cookie that was guessed");
        }
    }

    /// Somebody on the way says to the client what a host may say before it is known to be one.
    pub(super) fn mislead(&mut self, bytes: &mut Bytes<'_>) {
        let shape = bytes.u8();
        let mac1 = FirstFlight::parse(&self.flight).map(|flight| flight.mac1);
        let mac1 = mac1.or_else(|| Fragment::parse(&self.flight).map(|fragment| fragment.mac1));
        let mut mac1 = mac1.unwrap_or_default();
        let is_forged = shape & 1 == 0;
        mac1[3] ^= u8::from(is_forged);
        let before = (self.client.is_established(), self.client.is_closed());
        let mut said = match shape >> 1 & 3 {
            0 => Versions::to_bytes(&mac1).to_vec(),
            1 => CookieReply { sealed: [shape; 32] }.to_bytes().to_vec(),
            2 => Reset { connection: bytes.u32(), packet_number: bytes.u8().into(), proof: [shape; 16] }
                .to_bytes()
                .to_vec(),
            _ => {
                let header = DataHeader {
                    phase: shape & 8 != 0,
                    connection: self.client.connection(),
                    packet_number: bytes.u8().into(),
                };
                [&header.to_bytes()[..], bytes.run(60), &[shape; 16]].concat()
            }
        };
        let is_versions = said.first().and_then(|&first| Kind::of(first)) == Some(Kind::Versions);
        let result = self.client.handle_datagram(self.now, PATH, self.now, rift::Ecn::NotEct, &mut said);
        assert!(result.is_err() || (is_versions && !is_forged), "what is forged is not taken: {said:02x?}");
        assert_eq!(before, (self.client.is_established(), self.client.is_closed()), "and changes nothing");
    }
}

/// Makes a flight one of another version, by somebody who knows the host's key.
fn as_version(flight: &mut [u8], version: u8, key: &Mac1Key) {
    let at = FirstFlight::parse(flight).expect("it is one").authenticated.len();
    (flight[1], flight[2]) = (version, version.max(rift::wire::VERSION));
    let mac1 = key.mac1(&flight[..at]);
    flight[at..at + 16].copy_from_slice(&mac1);
}

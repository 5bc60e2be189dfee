//! snow as the oracle of the core's renewal: the same messages and keys, whoever answers whom (SPEC §5.4).

use rift::crypto::renewal::{RENEWAL_LEN, Renewal};
use snow::{Builder, HandshakeState};

use crate::resolver::Resolver;

const NAME: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"RIFT\x01NN\x00\x00\x00\x01";
const PRE_SHARED: [u8; 32] = [0x5a; 32];

fn builder(ephemeral: &[u8; 32]) -> Builder<'_> {
    let resolver = Box::new(Resolver::new(ephemeral));
    let builder = Builder::with_resolver(NAME.parse().expect("a name of Noise"), resolver);
    builder.psk(0, &PRE_SHARED).expect("one psk").prologue(PROLOGUE).expect("one prologue")
}

fn write(snow: &mut HandshakeState) -> [u8; RENEWAL_LEN] {
    let mut message = [0; 128];
    let len = snow.write_message(&[], &mut message).expect("its turn");
    message[..len].try_into().expect("a key and a tag")
}

fn read(snow: &mut HandshakeState, message: &[u8]) {
    assert_eq!(snow.read_message(message, &mut [0; 128]), Ok(0));
}

#[test]
fn renewal_and_snow_agree_byte_for_byte_in_both_roles() {
    for seed in 1..20 {
        let (asks, answers) = ([seed; 32], [seed + 100; 32]);
        let (renewal, request) = Renewal::ask(&PRE_SHARED, asks, PROLOGUE);
        let mut initiator = builder(&asks).build_initiator().expect("the suite is built in");
        assert_eq!(write(&mut initiator), request);

        let mut responder = builder(&answers).build_responder().expect("the suite is built in");
        read(&mut responder, &request);
        let (reply, keys) = Renewal::answer(&PRE_SHARED, answers, PROLOGUE, &request).expect("a request");
        assert_eq!(write(&mut responder), reply);
        read(&mut initiator, &reply);

        let finished = renewal.finish(&reply).expect("a reply");
        for mut snow in [initiator, responder] {
            let split = snow.dangerously_get_raw_split();
            assert_eq!(split, (keys.of_initiator, keys.of_responder));
            assert_eq!(split, (finished.of_initiator, finished.of_responder));
        }
    }
}

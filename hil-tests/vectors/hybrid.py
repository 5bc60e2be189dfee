#!/usr/bin/env python3
"""Hybrid handshakes of SPEC §4.19 by a second implementation, which shares nothing with the first.

Written from the standards alone: Noise revision 34, the draft "Noise Hybrid Forward Secrecy" (revision 1), FIPS 203
(ML-KEM-768), RFC 7748 (X25519), RFC 8439 (ChaCha20-Poly1305). Python's own library has BLAKE2s, SHA-3 and SHAKE.
It is slow, leaks by timing what it computes with, and is for test vectors only.

    python3 hybrid.py > hybrid.txt     # the same bytes every time
    python3 hybrid.py --check          # compares hybrid.txt with what would be written
"""

import hashlib
import hmac
import pathlib
import sys

# ---- FIPS 203, ML-KEM-768 ----

Q, N, K, ETA, DU, DV = 3329, 256, 3, 2, 10, 4


def bit_reverse_7(value):
    return int(f"{value:07b}"[::-1], 2)


ZETAS = [pow(17, bit_reverse_7(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * bit_reverse_7(i) + 1, Q) for i in range(128)]


def bits_of(data):
    return [byte >> i & 1 for byte in data for i in range(8)]


def bytes_of(bits):
    return bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))


def encode(poly, width):
    return bytes_of([value >> i & 1 for value in poly for i in range(width)])


def decode(data, width):
    bits = bits_of(data)
    modulus = Q if width == 12 else 1 << width
    return [sum(bits[at + i] << i for i in range(width)) % modulus for at in range(0, len(bits), width)]


def compress(poly, width):
    # Rounds half up, as §4.2.1 says.
    return [((value << width) * 2 + Q) // (2 * Q) % (1 << width) for value in poly]


def decompress(poly, width):
    return [(value * Q * 2 + (1 << width)) // (2 << width) for value in poly]


def sample_ntt(seed):
    stream, at, poly = hashlib.shake_128(seed).digest(2048), 0, []
    while len(poly) < N:
        a, b, c = stream[at : at + 3]
        at += 3
        for value in (a + 256 * (b % 16), b // 16 + 16 * c):
            if value < Q and len(poly) < N:
                poly.append(value)
    return poly


def sample_cbd(data):
    bits = bits_of(data)
    return [
        (sum(bits[2 * i * ETA : 2 * i * ETA + ETA]) - sum(bits[2 * i * ETA + ETA : 2 * (i + 1) * ETA])) % Q
        for i in range(N)
    ]


def ntt(poly):
    poly, index, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[index]
            index += 1
            for j in range(start, start + length):
                t = zeta * poly[j + length] % Q
                poly[j + length] = (poly[j] - t) % Q
                poly[j] = (poly[j] + t) % Q
        length //= 2
    return poly


def inverse_ntt(poly):
    poly, index, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[index]
            index -= 1
            for j in range(start, start + length):
                t = poly[j]
                poly[j] = (t + poly[j + length]) % Q
                poly[j + length] = zeta * (poly[j + length] - t) % Q
        length *= 2
    return [value * 3303 % Q for value in poly]


def multiply(one, other):
    product = []
    for i in range(128):
        a0, a1, b0, b1 = one[2 * i], one[2 * i + 1], other[2 * i], other[2 * i + 1]
        product += [(a0 * b0 + a1 * b1 * GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return product


def add(one, other):
    return [(a + b) % Q for a, b in zip(one, other)]


def dot(row, column):
    total = [0] * N
    for one, other in zip(row, column):
        total = add(total, multiply(one, other))
    return total


def prf(seed, number):
    return hashlib.shake_256(seed + bytes([number])).digest(64 * ETA)


def matrix(rho):
    return [[sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def kpke_keygen(d):
    digest = hashlib.sha3_512(d + bytes([K])).digest()
    rho, sigma = digest[:32], digest[32:]
    a = matrix(rho)
    s = [ntt(sample_cbd(prf(sigma, i))) for i in range(K)]
    e = [ntt(sample_cbd(prf(sigma, K + i))) for i in range(K)]
    t = [add(dot(a[i], s), e[i]) for i in range(K)]
    return b"".join(encode(p, 12) for p in t) + rho, b"".join(encode(p, 12) for p in s)


def kpke_encrypt(ek, message, r):
    t = [decode(ek[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    a = matrix(ek[384 * K :])
    y = [ntt(sample_cbd(prf(r, i))) for i in range(K)]
    e1 = [sample_cbd(prf(r, K + i)) for i in range(K)]
    e2 = sample_cbd(prf(r, 2 * K))
    u = [add(inverse_ntt(dot([a[j][i] for j in range(K)], y)), e1[i]) for i in range(K)]
    mu = decompress(decode(message, 1), 1)
    v = add(add(inverse_ntt(dot(t, y)), e2), mu)
    return b"".join(encode(compress(p, DU), DU) for p in u) + encode(compress(v, DV), DV)


def kpke_decrypt(dk, ciphertext):
    u = [decompress(decode(ciphertext[32 * DU * i : 32 * DU * (i + 1)], DU), DU) for i in range(K)]
    v = decompress(decode(ciphertext[32 * DU * K :], DV), DV)
    s = [decode(dk[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    w = [(a - b) % Q for a, b in zip(v, inverse_ntt(dot(s, [ntt(p) for p in u])))]
    return encode(compress(w, 1), 1)


def mlkem_keygen(d, z):
    ek, dk = kpke_keygen(d)
    return ek, (dk, ek, hashlib.sha3_256(ek).digest(), z)


def mlkem_encapsulate(ek, m):
    digest = hashlib.sha3_512(m + hashlib.sha3_256(ek).digest()).digest()
    return kpke_encrypt(ek, m, digest[32:]), digest[:32]


def mlkem_decapsulate(key, ciphertext):
    dk, ek, h, z = key
    m = kpke_decrypt(dk, ciphertext)
    digest = hashlib.sha3_512(m + h).digest()
    if kpke_encrypt(ek, m, digest[32:]) == ciphertext:
        return digest[:32]
    return hashlib.shake_256(z + ciphertext).digest(32)


# ---- RFC 7748, X25519 ----

P = 2**255 - 19


def x25519(scalar, point):
    k = int.from_bytes(scalar, "little") & ~7 & (1 << 255) - 1 | 1 << 254
    x1 = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


BASE = (9).to_bytes(32, "little")

# ---- RFC 8439, ChaCha20-Poly1305 ----


def chacha_block(key, counter, nonce):
    words = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574]
    words += [int.from_bytes(key[i : i + 4], "little") for i in range(0, 32, 4)]
    words += [counter] + [int.from_bytes(nonce[i : i + 4], "little") for i in range(0, 12, 4)]
    state = list(words)

    def turn(value, by):
        return (value << by | value >> 32 - by) & 0xFFFFFFFF

    def quarter(a, b, c, d):
        for first, second, third, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[first] = state[first] + state[second] & 0xFFFFFFFF
            state[third] = turn(state[third] ^ state[first], by)

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return b"".join((a + b & 0xFFFFFFFF).to_bytes(4, "little") for a, b in zip(state, words))


def chacha(key, nonce, text):
    blocks = (chacha_block(key, 1 + i, nonce) for i in range((len(text) + 63) // 64))
    return bytes(a ^ b for a, b in zip(text, b"".join(blocks)))


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at : at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & (1 << 128) - 1).to_bytes(16, "little")


def seal(key, number, aad, text):
    nonce = bytes(4) + number.to_bytes(8, "little")
    sealed = chacha(key, nonce, text)
    padded = aad + bytes(-len(aad) % 16) + sealed + bytes(-len(sealed) % 16)
    lengths = len(aad).to_bytes(8, "little") + len(sealed).to_bytes(8, "little")
    return sealed + poly1305(chacha_block(key, 0, nonce)[:32], padded + lengths)


def open_sealed(key, number, aad, sealed):
    text = chacha(key, bytes(4) + number.to_bytes(8, "little"), sealed[:-16])
    assert seal(key, number, aad, text) == sealed, "a tag is wrong"
    return text


# ---- Noise ----


def hkdf(chaining, material):
    def mac(key, data):
        return hmac.new(key, data, hashlib.blake2s).digest()

    extracted = mac(chaining, material)
    first = mac(extracted, b"\1")
    return first, mac(extracted, first + b"\2")


class Party:
    """One side: symmetric state, keys, and the tokens."""

    def __init__(self, is_initiator, pattern, prologue, static, ephemeral, kem, peer=None):
        name = f"Noise_{pattern}hfs_25519+MLKEM768_ChaChaPoly_BLAKE2s".encode()
        self.h = hashlib.blake2s(name).digest() if len(name) > 32 else name.ljust(32, b"\0")
        self.ck, self.k, self.n = self.h, None, 0
        self.is_initiator, self.s, self.e, self.kem = is_initiator, static, ephemeral, kem
        self.rs, self.re, self.re1 = peer, None, None
        self.mix_hash(prologue)
        if pattern == "IK":
            self.mix_hash(peer if is_initiator else x25519(static, BASE))
        self.messages = {
            "XX": (("e", "e1"), ("e", "ee", "ekem1", "s", "es"), ("s", "se")),
            "IK": (("e", "es", "e1", "s", "ss"), ("e", "ee", "ekem1", "se")),
        }[pattern]

    def mix_hash(self, data):
        self.h = hashlib.blake2s(self.h + data).digest()

    def mix_key(self, material):
        self.ck, self.k = hkdf(self.ck, material)
        self.n = 0

    def put(self, text):
        field = text
        if self.k:
            field = seal(self.k, self.n, self.h, text)
            self.n += 1
        self.mix_hash(field)
        return field

    def take(self, field):
        text = field
        if self.k:
            text = open_sealed(self.k, self.n, self.h, field)
            self.n += 1
        self.mix_hash(field)
        return text

    def dh(self, token):
        mine, theirs = token if self.is_initiator else reversed(token)
        secret = {"e": self.e, "s": self.s}[mine]
        self.mix_key(x25519(secret, {"e": self.re, "s": self.rs}[theirs]))

    def write(self, index, payload):
        out = b""
        for token in self.messages[index]:
            if token == "e":
                key = x25519(self.e, BASE)
                self.mix_hash(key)
                out += key
            elif token == "s":
                out += self.put(x25519(self.s, BASE))
            elif token == "e1":
                out += self.put(mlkem_keygen(self.kem[:32], self.kem[32:])[0])
            elif token == "ekem1":
                ciphertext, shared = mlkem_encapsulate(self.re1, self.kem[:32])
                out += self.put(ciphertext)
                self.mix_key(shared)
            else:
                self.dh(token)
        return out + self.put(payload)

    def read(self, index, message):
        def cut(length):
            nonlocal message
            field, message = message[:length], message[length:]
            return field

        tag = 0
        for token in self.messages[index]:
            tag = 16 if self.k else 0
            if token == "e":
                self.re = cut(32)
                self.mix_hash(self.re)
            elif token == "s":
                self.rs = self.take(cut(32 + tag))
            elif token == "e1":
                self.re1 = self.take(cut(1184 + tag))
            elif token == "ekem1":
                ciphertext = self.take(cut(1088 + tag))
                key = mlkem_keygen(self.kem[:32], self.kem[32:])[1]
                self.mix_key(mlkem_decapsulate(key, ciphertext))
            else:
                self.dh(token)
        return self.take(message)


def entropy(label, length):
    return hashlib.shake_256(b"rift hybrid vectors, " + label.encode()).digest(length)


def vector(pattern, number):
    """Both sides of one handshake, checked against each other; lines of what a third must reproduce."""
    name = f"{pattern} {number}"
    prologue = b"RIFT\1\1" + {"XX": b"XH", "IK": b"IH"}[pattern]
    statics = [entropy(f"{name} static {side}", 32) for side in "ir"]
    draws = [entropy(f"{name} entropy {side}", 96) for side in "ir"]
    host = x25519(statics[1], BASE)
    parties = [
        Party(i == 0, pattern, prologue, statics[i], draws[i][:32], draws[i][32:], host if i == 0 else None)
        for i in range(2)
    ]
    if pattern == "XX":
        parties[0].rs = None
    lines = [f"handshake = {pattern}"]
    for side, static, draw in zip(("initiator", "responder"), statics, draws):
        lines += [f"{side}_static = {static.hex()}", f"{side}_entropy = {draw.hex()}"]
    for index in range(len(parties[0].messages)):
        writer, reader = parties[index % 2], parties[1 - index % 2]
        payload = entropy(f"{name} payload {index}", (4, 4, 23)[index] if pattern == "XX" else (80, 4)[index])
        message = writer.write(index, payload)
        assert reader.read(index, message) == payload, "the two sides disagree"
        lines += [f"payload = {payload.hex()}", f"message = {message.hex()}"]
    assert parties[0].h == parties[1].h and parties[0].ck == parties[1].ck, "the two sides disagree"
    assert parties[1].rs == x25519(statics[0], BASE), "the responder knows the initiator"
    first, second = hkdf(parties[0].ck, b"")
    return lines + [f"transcript = {parties[0].h.hex()}", f"keys = {(first + second).hex()}", ""]


def self_test():
    """Answers that others have published, so that two mistakes do not agree."""
    # RFC 7748 §5.2.
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert x25519(scalar, point).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    # RFC 8439 §2.8.2.
    key, nonce = bytes(range(0x80, 0xA0)), bytes.fromhex("070000004041424344454647")
    text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
    assert chacha(key, nonce, text).hex().startswith("d31a8d34648e60db7b86afbc53ef7ec2")


def main():
    self_test()
    text = "\n".join(line for pattern in ("XX", "IK") for number in range(2) for line in vector(pattern, number))
    if "--check" in sys.argv[1:]:
        known = pathlib.Path(__file__).with_name("hybrid.txt").read_text()
        sys.exit(None if known == text else "hybrid.txt is not what this script writes")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()

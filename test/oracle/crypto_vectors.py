"""Recomputes test/vectors/crypto with other people's code: hashlib (BLAKE2b, SHA-3), cryptography (Ed25519, X25519, ChaCha20-Poly1305) and
kyber-py (ML-KEM-768). An implementation of docs/protocol.md that shares no line with packages/crypto.

    pip install cryptography==50.0.2 kyber-py==1.2.0 && python test/oracle/crypto_vectors.py
"""
import hashlib
import json
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from kyber_py.ml_kem import ML_KEM_768

FOLDER = Path(__file__).resolve().parent.parent / "vectors" / "crypto"
CHUNK, SEGMENT, TAG = 262_144, 65_536, 16


class Rejected(Exception):
    pass


def require(condition):
    if not condition:
        raise Rejected


def H(*parts, key=b""):
    return hashlib.blake2b(b"".join(parts), digest_size=32, key=key).digest()


def kdf(key, label, context):
    return H(b"lamina/v1/" + label.encode(), b"\0", len(context).to_bytes(8, "big"), context, key=key)


def merkle(leaves):
    while len(leaves) > 1:
        pairs = [leaves[i : i + 2] for i in range(0, len(leaves), 2)]
        leaves = [H(b"\1", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return leaves[0]


def leaves_of(data):
    return [H(b"\0", data[i : i + CHUNK]) for i in range(0, max(1, len(data)), CHUNK)]


def pattern(length):
    return bytes((31 * i + 7) & 255 for i in range(length))


# ---- X-Wing (draft-connolly-cfrg-xwing-kem) ----
def xwing_keys(seed):
    expanded = hashlib.shake_256(seed).digest(96)
    ek, dk = ML_KEM_768._keygen_internal(expanded[:32], expanded[32:64])
    x = X25519PrivateKey.from_private_bytes(expanded[64:])
    return ek + x.public_key().public_bytes_raw(), dk, x


def xwing_combine(ss_m, ss_x, ct_x, pk_x):
    return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + bytes.fromhex("5c2e2f2f5e5c")).digest()


def xwing_encapsulate(public, seed):
    ss_m, ct_m = ML_KEM_768._encaps_internal(public[:1184], seed[:32])
    ephemeral = X25519PrivateKey.from_private_bytes(seed[32:])
    ct_x = ephemeral.public_key().public_bytes_raw()
    return xwing_combine(ss_m, ephemeral.exchange(X25519PublicKey.from_public_bytes(public[1184:])), ct_x, public[1184:]), ct_m + ct_x


def xwing_decapsulate(seed, ciphertext):
    public, dk, x = xwing_keys(seed)
    try:
        ss_x = x.exchange(X25519PublicKey.from_public_bytes(ciphertext[1088:]))
    except ValueError:
        raise Rejected from None
    return xwing_combine(ML_KEM_768.decaps(dk, ciphertext[:1088]), ss_x, ciphertext[1088:], public[1184:])


# ---- the header ----
FIELDS = {1: int, 2: int, 3: 32, 4: 32, 5: 16, 6: str, 7: 32, 8: int, 9: int, 10: int, 11: 24, 12: 32, 13: 32, 14: int}


def varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def encode_header(values):
    out = b""
    for number, value in sorted(values.items()):
        if isinstance(value, int):
            out += varint(number << 3) + varint(value) if value else b""
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value if value else b""
    return out


def decode_header(data):
    values, at = {number: 0 if kind is int else b"" for number, kind in FIELDS.items()}, 0

    def number_at(at):
        value = shift = 0
        while True:
            require(at < len(data) and shift < 64)
            value |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 128:
                return value, at

    while at < len(data):
        tag, at = number_at(at)
        number, kind = tag >> 3, tag & 7
        value, at = number_at(at)
        require(kind in (0, 2))
        if kind == 2:
            value, at = data[at : at + value], at + value
        require(number in FIELDS and isinstance(value, int) == (FIELDS[number] is int))
        values[number] = value
    require(encode_header(values) == data)
    for number, kind in FIELDS.items():
        require(not isinstance(kind, int) or len(values[number]) == kind)
    return values


# ---- the envelope ----
def keys_of(cek, values):
    bare = H(encode_header({**values, 13: b""}))
    return kdf(cek, "payload", values[11] + bare), kdf(cek, "commit", values[11] + bare)


def manifest_hash(plaintext):
    return H(plaintext[: 4 + int.from_bytes(plaintext[:4], "little")] if len(plaintext) >= 4 else plaintext)


def nonce(i, last):
    return i.to_bytes(11, "big") + bytes([i == last])


def seal(case):
    sender = Ed25519PrivateKey.from_private_bytes(case["senderSeed"])
    client = H(b"id", sender.public_key().public_bytes_raw())[:16]
    shared, ciphertext = xwing_encapsulate(xwing_keys(case["recipientSeed"])[0], case["kemSeed"])
    wrapping = kdf(shared, "cek", case["roundHeaderHash"] + client + b"\0")
    stanza = ciphertext + ChaCha20Poly1305(wrapping).encrypt(bytes(12), case["contentKey"], b"")
    plaintext = pattern(case["plaintextBytes"])
    segments = max(1, -(-len(plaintext) // SEGMENT))
    values = {1: 1, 2: 1, 3: case["federationId"], 4: case["roundHeaderHash"], 5: client, 6: b"update", 7: manifest_hash(plaintext)}
    values |= {8: len(plaintext), 9: SEGMENT, 10: segments, 11: case["salt"], 12: H(b"\0", stanza), 13: b"", 14: 1}
    payload, values[13] = keys_of(case["contentKey"], values)
    header = encode_header(values)
    pieces = [plaintext[i * SEGMENT : (i + 1) * SEGMENT] for i in range(segments)]
    body = b"".join(ChaCha20Poly1305(payload).encrypt(nonce(i, segments - 1), piece, H(header)) for i, piece in enumerate(pieces))
    envelope = b"FFE1" + len(header).to_bytes(4, "little") + header + stanza + body
    root = merkle(leaves_of(envelope))
    signed = b"lamina/v1/update\0" + case["roundHeaderHash"] + H(header) + root + len(envelope).to_bytes(8, "big")
    return {"envelope": envelope, "header": header, "root": root, "signature": sender.sign(signed), "payloadKey": payload}


def open_envelope(envelope, case):
    require(envelope[:4] == b"FFE1" and len(envelope) >= 8)
    end = 8 + int.from_bytes(envelope[4:8], "little")
    require(end <= len(envelope))
    values = decode_header(envelope[8:end])
    if values[4] != case["roundHeaderHash"]:
        return "ROUND_MISMATCH"
    sender = Ed25519PrivateKey.from_private_bytes(case["senderSeed"]).public_key().public_bytes_raw()
    require(values[3] == case["federationId"] and values[5] == H(b"id", sender)[:16])
    require((values[1], values[2], values[6], values[9], values[14]) == (1, 1, b"update", SEGMENT, 1))
    require(values[10] == max(1, -(-values[8] // SEGMENT)) and len(envelope) == end + 1168 + values[8] + TAG * values[10])
    stanza, body = envelope[end : end + 1168], envelope[end + 1168 :]
    require(H(b"\0", stanza) == values[12])
    wrapping = kdf(xwing_decapsulate(case["recipientSeed"], stanza[:1120]), "cek", values[4] + values[5] + b"\0")
    cek = ChaCha20Poly1305(wrapping).decrypt(bytes(12), stanza[1120:], b"")
    payload, commitment = keys_of(cek, values)
    require(commitment == values[13])
    pieces = [body[i * (SEGMENT + TAG) : (i + 1) * (SEGMENT + TAG)] for i in range(values[10])]
    last, data = values[10] - 1, H(envelope[8:end])
    plaintext = b"".join(ChaCha20Poly1305(payload).decrypt(nonce(i, last), piece, data) for i, piece in enumerate(pieces))
    require(manifest_hash(plaintext) == values[7])
    return plaintext


def outcome(envelope, case):
    try:
        return open_envelope(envelope, case)
    except (Rejected, InvalidTag, OverflowError):
        return "ENVELOPE_REJECTED"


def load(name):
    named = {"name", "label", "error"}

    def of(key, value):
        if isinstance(value, list):
            return [of(key, entry) for entry in value]
        return bytes.fromhex(value) if isinstance(value, str) and key not in named else value

    return [{k: of(k, v) for k, v in case.items()} for case in json.loads((FOLDER / f"{name}.json").read_text())["cases"]]


def check_primitives():
    for case in load("hash"):
        assert H(pattern(case["bytes"])) == case["hash"]
    for case in load("kdf"):
        assert kdf(case["key"], case["label"], pattern(case["contextBytes"])) == case["derived"]
    for case in load("merkle"):
        assert merkle(case["leaves"]) == case["root"]
    for case in load("sign"):
        key = Ed25519PrivateKey.from_private_bytes(case["seed"])
        assert key.sign(case["label"].encode() + b"\0" + pattern(case["messageBytes"])) == case["signature"]
        assert H(b"id", key.public_key().public_bytes_raw())[:16] == case["clientId"]
    for case in load("stanza"):
        public = xwing_keys(case["recipientSeed"])[0]
        shared, ciphertext = xwing_encapsulate(public, case["kemSeed"])
        sealed = ChaCha20Poly1305(kdf(shared, "cek", case["context"] + b"\0")).encrypt(bytes(12), case["contentKey"], b"")
        assert (H(public), ciphertext + sealed) == (case["publicKeyHash"], case["stanza"])


def check_envelopes():
    base = load("envelope")
    for case in base:
        made = seal(case)
        assert all(made[name] == case[name] for name in ("header", "root", "signature", "payloadKey"))
        assert H(made["envelope"]) == case["envelopeHash"]
        assert open_envelope(made["envelope"], case) == pattern(case["plaintextBytes"])
    for case in load("crafted"):
        assert outcome(case["envelope"], base[0]) == (case["error"] or pattern(100)), case["name"]
        sender = Ed25519PrivateKey.from_private_bytes(base[0]["senderSeed"]).public_key()
        sizes = len(case["envelope"]).to_bytes(8, "big")
        signed = b"lamina/v1/update\0" + base[0]["roundHeaderHash"] + H(case["header"]) + merkle(case["leaves"]) + sizes
        sender.verify(case["signature"], signed)
    for case in load("damaged"):
        whole = seal({**base[0], "plaintextBytes": case["plaintextBytes"]})["envelope"]
        pieces = [whole[piece[0] : piece[1]] if isinstance(piece, list) else piece for piece in case["pieces"]]
        assert outcome(b"".join(pieces), base[0]) == case["error"], case["name"]


check_primitives()
check_envelopes()
print(sum(len(load(path.stem)) for path in FOLDER.glob("*.json")), "vectors hold")

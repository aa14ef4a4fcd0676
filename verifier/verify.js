// Checks what a Tallystick platform gave you, without trusting it: in a browser, or with Node 20 and nothing else.
//
//     node verify.js FILE... --policy POLICY [--json]
//
// The twin of tallystick_verify.py: the same files, the same answers, the same codes. Both are held to the
// vectors that lie beside them. Ed25519 and SHA-512 are WebCrypto's; where a browser has no Ed25519 yet, the
// arithmetic of RFC 8032 below takes its place. SHA-256 is written out.
"use strict";

const tallystick = (() => {
  class Refused extends Error {
    constructor(code, fields = {}) {
      super(code);
      this.code = code;
      this.fields = fields;
    }
  }

  const refuse = (code, fields) => {
    throw new Refused(code, fields);
  };

  // ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────

  const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const utf8 = (text) => new TextEncoder().encode(text);
  const decoded = (bytes) => {
    try {
      return UTF8.decode(bytes);
    } catch {
      return null;
    }
  };
  // One character a byte: for what is looked at byte by byte.
  const latin = (bytes) => {
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) {
      text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    }
    return text;
  };
  const octets = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
  const joined = (...parts) => {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  };
  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const unhex = (text) => Uint8Array.from(text.match(/../g) || [], (pair) => parseInt(pair, 16));
  const same = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);
  const big = (value, count) => unhex(BigInt(value).toString(16).padStart(2 * count, "0"));
  const number = (bytes) => (bytes.length ? BigInt("0x" + hex(bytes)) : 0n);

  const loose64 = (text) => {
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4) return null;
    try {
      return octets(atob(text));
    } catch {
      return null;
    }
  };
  const base64 = (bytes) => btoa(latin(bytes));
  // The bytes of base64 in its one spelling.
  const unbase64 = (text) => {
    const told = loose64(text);
    return told !== null && base64(told) === text ? told : null;
  };

  const digest = async (name, bytes) => new Uint8Array(await crypto.subtle.digest(name, bytes));

  // SHA-256 (FIPS 180-4) by hand: a proof is a hundred short messages, and asking WebCrypto for each takes
  // twenty times as long as hashing it. The constants are the roots of the first primes, as the standard says.
  const root = (n, degree) => {
    // The first 32 bits behind the point of the square or cube root, exactly.
    const wanted = BigInt(n) << BigInt(32 * degree);
    let [low, high] = [0n, 1n << 40n];
    while (high - low > 1n) {
      const middle = (low + high) / 2n;
      if (middle ** BigInt(degree) <= wanted) low = middle;
      else high = middle;
    }
    return Number(low & 0xffffffffn);
  };
  const PRIMES = [];
  for (let n = 2; PRIMES.length < 64; n += 1) if (PRIMES.every((each) => n % each)) PRIMES.push(n);
  const ROUNDS = Int32Array.from(PRIMES, (each) => root(each, 3));
  const START = Int32Array.from(PRIMES.slice(0, 8), (each) => root(each, 2));

  function sha256(...parts) {
    const message = joined(...parts);
    const padded = new DataView(new ArrayBuffer(((message.length + 72) >> 6) << 6));
    new Uint8Array(padded.buffer).set(message);
    padded.setUint8(message.length, 0x80);
    padded.setUint32(padded.byteLength - 8, Math.floor(message.length / 2 ** 29));
    padded.setUint32(padded.byteLength - 4, message.length << 3);
    const state = START.slice();
    const w = new Int32Array(64);
    const turned = (x, by) => (x >>> by) | (x << (32 - by));
    for (let block = 0; block < padded.byteLength; block += 64) {
      for (let t = 0; t < 16; t += 1) w[t] = padded.getInt32(block + 4 * t);
      for (let t = 16; t < 64; t += 1) {
        const s0 = turned(w[t - 15], 7) ^ turned(w[t - 15], 18) ^ (w[t - 15] >>> 3);
        const s1 = turned(w[t - 2], 17) ^ turned(w[t - 2], 19) ^ (w[t - 2] >>> 10);
        w[t] = (w[t - 16] + s0 + w[t - 7] + s1) | 0;
      }
      let [a, b, c, d, e, f, g, h] = state;
      for (let t = 0; t < 64; t += 1) {
        const s1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
        const one = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[t] + w[t]) | 0;
        const s0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22);
        const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g;
        g = f;
        f = e;
        e = (d + one) | 0;
        d = c;
        c = b;
        b = a;
        a = (one + two) | 0;
      }
      [a, b, c, d, e, f, g, h].forEach((each, at) => {
        state[at] += each;
      });
    }
    const found = new DataView(new ArrayBuffer(32));
    state.forEach((each, at) => found.setInt32(4 * at, each));
    return new Uint8Array(found.buffer);
  }

  // ── Ed25519 (RFC 8032), where WebCrypto has none ────────────────────────────────────────────────────────

  const P = 2n ** 255n - 19n;
  const L = 2n ** 252n + 27742317777372353535851937790883648493n;
  const mod = (value) => ((value % P) + P) % P;
  const power = (base, exponent) => {
    let result = 1n;
    for (base = mod(base); exponent; exponent >>= 1n) {
      if (exponent & 1n) result = (result * base) % P;
      base = (base * base) % P;
    }
    return result;
  };
  const D = mod(-121665n * power(121666n, P - 2n));
  const I = power(2n, (P - 1n) / 4n);
  const little = (bytes) => number(bytes.slice().reverse());

  const added = ([x1, y1, z1, t1], [x2, y2, z2, t2]) => {
    const a = mod((y1 - x1) * (y2 - x2));
    const b = mod((y1 + x1) * (y2 + x2));
    const c = mod(2n * t1 * t2 * D);
    const d = mod(2n * z1 * z2);
    const [e, f, g, h] = [b - a, d - c, d + c, b + a];
    return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
  };

  const point = (bytes) => {
    const told = little(bytes);
    const sign = told >> 255n;
    const y = told & ((1n << 255n) - 1n);
    if (y >= P) return null;
    const u = mod(y * y - 1n);
    const v = mod(D * y * y + 1n);
    let x = mod(u * v ** 3n * power(u * v ** 7n, (P - 5n) / 8n));
    if (mod(v * x * x) === mod(-u)) x = mod(x * I);
    if (mod(v * x * x) !== u || (x === 0n && sign)) return null;
    if ((x & 1n) !== sign) x = P - x;
    return [x, y, 1n, mod(x * y)];
  };

  const BASE = point(big(mod(4n * power(5n, P - 2n)), 32).reverse());

  async function ed25519ByHand(key, message, signature) {
    const place = point(key);
    const s = little(signature.subarray(32));
    if (place === null || s >= L) return false;
    const k = little(await digest("SHA-512", joined(signature.subarray(0, 32), key, message))) % L;
    const minus = [P - place[0], place[1], 1n, P - place[3]];
    const both = added(BASE, minus);
    let sum = [0n, 1n, 1n, 0n];
    for (let bit = 252n; bit >= 0n; bit -= 1n) {
      sum = added(sum, sum);
      const [one, other] = [(s >> bit) & 1n, (k >> bit) & 1n];
      if (one && other) sum = added(sum, both);
      else if (one) sum = added(sum, BASE);
      else if (other) sum = added(sum, minus);
    }
    const inverse = power(sum[2], P - 2n);
    const [x, y] = [mod(sum[0] * inverse), mod(sum[1] * inverse)];
    return same(big(y | ((x & 1n) << 255n), 32).reverse(), signature.subarray(0, 32));
  }

  async function ed25519Fits(key, message, signature) {
    if (key.length !== 32 || signature.length !== 64) return false;
    let imported;
    try {
      imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
    } catch {
      return ed25519ByHand(key, message, signature);
    }
    return crypto.subtle.verify({ name: "Ed25519" }, imported, signature, message);
  }

  // ── SHAKE (FIPS 202) and ML-DSA-44 (FIPS 204), verification only ────────────────────────────────────────

  const M64 = (1n << 64n) - 1n;
  const turn64 = (x, by) => ((x << by) | (x >> (64n - by))) & M64;
  const [TURNS, ROUND64] = (() => {
    const turns = new Array(25).fill(0n);
    let [x, y] = [1, 0];
    for (let t = 0; t < 24; t += 1) {
      turns[x + 5 * y] = BigInt((((t + 1) * (t + 2)) / 2) % 64);
      [x, y] = [y, (2 * x + 3 * y) % 5];
    }
    const rounds = [];
    for (let [round, lfsr] = [0, 1]; round < 24; round += 1) {
      let constant = 0n;
      for (let j = 0; j < 7; j += 1) {
        if (lfsr & 1) constant |= 1n << BigInt((1 << j) - 1);
        lfsr = (lfsr << 1) ^ (lfsr & 0x80 ? 0x171 : 0);
      }
      rounds.push(constant);
    }
    return [turns, rounds];
  })();

  function keccak(a) {
    for (const constant of ROUND64) {
      const c = [0, 1, 2, 3, 4].map((x) => a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]);
      const d = [0, 1, 2, 3, 4].map((x) => c[(x + 4) % 5] ^ turn64(c[(x + 1) % 5], 1n));
      const b = new Array(25);
      for (let x = 0; x < 5; x += 1) {
        for (let y = 0; y < 5; y += 1) b[y + 5 * ((2 * x + 3 * y) % 5)] = turn64(a[x + 5 * y] ^ d[x], TURNS[x + 5 * y]);
      }
      for (let at = 0; at < 25; at += 1) {
        const row = at - (at % 5);
        a[at] = b[at] ^ (~b[row + ((at + 1) % 5)] & M64 & b[row + ((at + 2) % 5)]);
      }
      a[0] ^= constant;
    }
  }

  // `rate` is 168 for SHAKE128 and 136 for SHAKE256.
  function shake(rate, message, count) {
    const padded = new Uint8Array((Math.floor(message.length / rate) + 1) * rate);
    padded.set(message);
    padded[message.length] ^= 0x1f;
    padded[padded.length - 1] ^= 0x80;
    const view = new DataView(padded.buffer);
    const state = new Array(25).fill(0n);
    for (let at = 0; at < padded.length; at += rate) {
      for (let lane = 0; 8 * lane < rate; lane += 1) state[lane] ^= view.getBigUint64(at + 8 * lane, true);
      keccak(state);
    }
    const found = new DataView(new ArrayBuffer(Math.ceil(count / rate) * rate));
    for (let at = 0; at < found.byteLength; at += rate) {
      if (at) keccak(state);
      for (let lane = 0; 8 * lane < rate; lane += 1) found.setBigUint64(at + 8 * lane, state[lane], true);
    }
    return new Uint8Array(found.buffer, 0, count);
  }

  const Q = 8_380_417;
  const [GAMMA_1, GAMMA_2, BETA, OMEGA, TAU] = [1 << 17, 95_232, 78, 80, 39];
  const modQ = (value) => ((value % Q) + Q) % Q;
  const ZETAS = (() => {
    const powers = [1];
    while (powers.length < 256) powers.push((powers.at(-1) * 1753) % Q);
    return powers.map((_, n) => powers[parseInt(n.toString(2).padStart(8, "0").split("").reverse().join(""), 2)]);
  })();

  function ntt(given) {
    const f = [...given];
    let m = 0;
    for (let length = 128; length; length >>= 1) {
      for (let start = 0; start < 256; start += 2 * length) {
        m += 1;
        for (let j = start; j < start + length; j += 1) {
          const t = (ZETAS[m] * f[j + length]) % Q;
          [f[j + length], f[j]] = [modQ(f[j] - t), modQ(f[j] + t)];
        }
      }
    }
    return f;
  }

  function nttBack(given) {
    const f = [...given];
    let m = 256;
    for (let length = 1; length < 256; length <<= 1) {
      for (let start = 0; start < 256; start += 2 * length) {
        m -= 1;
        for (let j = start; j < start + length; j += 1) {
          const t = f[j];
          f[j] = modQ(t + f[j + length]);
          f[j + length] = modQ(-ZETAS[m] * modQ(t - f[j + length]));
        }
      }
    }
    return f.map((each) => (each * 8_347_681) % Q);
  }

  // Numbers of so many bits, the lowest bits first.
  function bits(bytes, width) {
    const found = [];
    for (let at = 0; at + width <= 8 * bytes.length; at += width) {
      let value = 0;
      for (let byte = (at + width - 1) >> 3; byte >= at >> 3; byte -= 1) value = value * 256 + bytes[byte];
      found.push(Math.floor(value / 2 ** (at & 7)) % 2 ** width);
    }
    return found;
  }

  const expanded = (seed) =>
    bits(shake(168, seed, 1512), 24).map((each) => each & 0x7fffff).filter((each) => each < Q).slice(0, 256);

  function challenge(seed) {
    const stream = shake(136, seed, 1024);
    let signs = number(stream.slice(0, 8).reverse());
    const c = new Array(256).fill(0);
    let at = 8;
    for (let i = 256 - TAU; i < 256; i += 1) {
      while (stream[at] > i) at += 1;
      const j = stream[at];
      at += 1;
      c[i] = c[j];
      c[j] = signs & 1n ? -1 : 1;
      signs >>= 1n;
    }
    return c;
  }

  function hintsOf(bytes) {
    const found = [];
    let at = 0;
    for (const end of bytes.subarray(OMEGA)) {
      if (end < at || end > OMEGA) return null;
      const row = [...bytes.subarray(at, end)];
      if (row.some((each, n) => n && row[n - 1] >= each)) return null;
      found.push(new Set(row));
      at = end;
    }
    return bytes.subarray(at, OMEGA).some(Boolean) ? null : found;
  }

  function highBits(r, hint) {
    let low = ((r + GAMMA_2 - 1) % (2 * GAMMA_2)) - GAMMA_2 + 1;
    let high = (r - low) / (2 * GAMMA_2);
    if (r - low === Q - 1) [high, low] = [0, low - 1];
    return hint ? (high + (low > 0 ? 1 : 43)) % 44 : high;
  }

  function mlDsa44Fits(key, message, signature) {
    if (key.length !== 1312 || signature.length !== 2420) return false;
    const [rho, seed] = [key.subarray(0, 32), signature.subarray(0, 32)];
    const four = [0, 1, 2, 3];
    const z = four.map((j) => bits(signature.subarray(32 + 576 * j, 608 + 576 * j), 18).map((each) => GAMMA_1 - each));
    const hints = hintsOf(signature.subarray(2336));
    if (hints === null || z.flat().some((each) => Math.abs(each) >= GAMMA_1 - BETA)) return false;
    const mu = shake(136, joined(shake(136, key, 64), [0, 0], message), 64);
    const c = ntt(challenge(seed));
    const turned = z.map(ntt);
    const told = four.map((i) => {
      const t1 = bits(key.subarray(32 + 320 * i, 352 + 320 * i), 10);
      let sums = ntt(t1.map((each) => each * 8192)).map((each, n) => -c[n] * each);
      for (const j of four) {
        const row = expanded(joined(rho, [j, i]));
        sums = sums.map((sum, n) => sum + row[n] * turned[j][n]);
      }
      const w = nttBack(sums.map(modQ)).map((each, n) => highBits(each, hints[i].has(n)));
      // Six bits each, four in three bytes.
      const packed = new Uint8Array(192);
      for (let n = 0; n < 64; n += 1) {
        const value = w[4 * n] | (w[4 * n + 1] << 6) | (w[4 * n + 2] << 12) | (w[4 * n + 3] << 18);
        packed.set([value & 255, (value >> 8) & 255, value >> 16], 3 * n);
      }
      return packed;
    });
    return same(shake(136, joined(mu, ...told), 32), seed);
  }

  // ── signed notes, checkpoints (C2SP) ────────────────────────────────────────────────────────────────────

  const [NOTE, COSIGNATURE, ML_DSA_44] = [0x01, 0x04, 0x06];
  const PUBLIC_BYTES = { [NOTE]: 32, [COSIGNATURE]: 32, [ML_DSA_44]: 1312 };
  const NOT_A_NAME = /[+\x00-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]/u;
  const SIZE = /^(0|[1-9][0-9]{0,18})$/;
  const isName = (name) => !NOT_A_NAME.test(name) && name !== "" && utf8(name).length <= 255;
  const isSize = (text) => SIZE.test(text) && BigInt(text) < 2n ** 63n;

  // The text before and after a first or last mark; three parts, the mark empty where there is none.
  const cut = (text, mark, at = text.indexOf(mark)) =>
    at < 0 ? [text, "", ""] : [text.slice(0, at), mark, text.slice(at + mark.length)];

  async function keyOf(text) {
    const [name, , rest] = cut(text, "+");
    const [id, , encoded] = cut(rest, "+");
    const material = unbase64(encoded);
    if (!isName(name) || !/^[0-9a-fA-F]{8}$/.test(id) || material === null || material.length < 2) {
      refuse("key_malformed", { reason: "name+id+material" });
    }
    const key = { name, algorithm: material[0], bytes: material.slice(1), id: id.toLowerCase() };
    if (key.algorithm === NOTE && key.bytes.length !== 32) refuse("key_malformed", { reason: "32 bytes" });
    if (hex(await sha256(utf8(name + "\n"), material)).slice(0, 8) !== key.id) {
      refuse("key_malformed", { reason: "id" });
    }
    if (PUBLIC_BYTES[key.algorithm] !== key.bytes.length) {
      refuse("key_type_unknown", { name, algorithm: "0x" + key.algorithm.toString(16).padStart(2, "0") });
    }
    return key;
  }

  function noted(note) {
    if (note.length > 1_000_000) refuse("note_malformed", { reason: "1000000" });
    const told = decoded(note);
    if (told === null) refuse("note_malformed", { reason: "UTF-8" });
    if (/[\x00-\x09\x0b-\x1f]/.test(told)) refuse("note_malformed", { reason: "control character" });
    const [text, blank, below] = cut(told, "\n\n", told.lastIndexOf("\n\n"));
    const lines = below.slice(0, -1).split("\n");
    if (!blank || !below.endsWith("\n") || lines.length > 100) refuse("note_malformed", { reason: "signatures" });
    return [text + "\n", lines];
  }

  // A note's text, and who of the known keys signed it. A wrong signature of theirs refuses it whole.
  async function opened(note, keys) {
    const [text, lines] = noted(note);
    const told = lines.map((line) => {
      const [name, space, encoded] = cut(line.slice(2), " ");
      const value = loose64(encoded);
      if (!line.startsWith("— ") || !space || !isName(name) || value === null || value.length < 5) {
        refuse("note_malformed", { reason: "signature line" });
      }
      return [name, value, unbase64(encoded) !== null];
    });
    const signed = [];
    for (const [name, value, canonical] of told) {
      const id = hex(value.subarray(0, 4));
      const key = keys.findLast((each) => each.name === name && each.id === id);
      if (key === undefined) continue;
      const bare = value.subarray(4);
      if (!canonical || !(await fits(key, text, bare))) refuse("signature_wrong", { name });
      signed.push([key, bare]);
    }
    if (!signed.length) {
      const names = [...new Set(keys.map((key) => key.name))].sort();
      refuse("signature_missing", { names: names.join(", ") || "–" });
    }
    return [text, signed];
  }

  async function fits(key, text, value) {
    if (key.algorithm === NOTE) return ed25519Fits(key.bytes, utf8(text), value);
    if (value.length !== (key.algorithm === COSIGNATURE ? 72 : 2428)) return false;
    let head;
    try {
      head = headOf(text);
    } catch {
      return false;
    }
    const [time, signature] = [value.subarray(0, 8), value.subarray(8)];
    const at = number(time);
    if (at >= 2n ** 63n) return false;
    if (key.algorithm === COSIGNATURE) {
      return ed25519Fits(key.bytes, utf8(`cosignature/v1\ntime ${at}\n${text}`), signature);
    }
    const [name, origin] = [utf8(key.name), utf8(head.origin)];
    const start = [utf8("subtree/v1\n\x00"), [name.length], name, time, [origin.length], origin];
    return mlDsa44Fits(key.bytes, joined(...start, big(0, 8), big(head.size, 8), head.root), signature);
  }

  function headOf(text) {
    const lines = text.split("\n");
    if (lines.length < 4 || lines.pop() !== "" || !lines.every(Boolean)) {
      refuse("checkpoint_malformed", { reason: "lines" });
    }
    const [origin, size, encoded] = lines;
    if (utf8(origin).length > 255 || !isSize(size)) refuse("checkpoint_malformed", { reason: "origin, size" });
    const root = unbase64(encoded);
    if (root === null || root.length !== 32) refuse("checkpoint_malformed", { reason: "root" });
    return { origin, size: BigInt(size), root };
  }

  // ── policies (C2SP tlog-policy) ─────────────────────────────────────────────────────────────────────────

  async function policyOf(content) {
    const policy = { logs: [], witnesses: new Map(), groups: new Map(), grouped: new Set(), quorum: null };
    const lines = latin(content).split("\n");
    if (content.length > 500_000 || lines.pop() !== "") {
      refuse("policy_malformed", { line: lines.length + 1, reason: "cut off" });
    }
    for (const [at, line] of lines.entries()) {
      const words = line.split(/[ \t]+/).filter(Boolean);
      const empty = !words.length || words[0].startsWith("#");
      if (/[\x00-\x08\x0b-\x1f\x7f]/.test(line) || (!empty && !(await understood(policy, words)))) {
        refuse("policy_malformed", { line: at + 1, reason: words[0] || "" });
      }
    }
    if (policy.quorum === null) refuse("policy_malformed", { line: lines.length, reason: "quorum" });
    return policy;
  }

  async function understood(policy, words) {
    const [what, name, third, ...others] = words;
    const defined = (each) => policy.witnesses.has(each) || policy.groups.has(each);
    if (what === "log" && (words.length === 2 || words.length === 3)) {
      const key = await policyKey(name, [NOTE, ML_DSA_44]);
      if (key === null || policy.logs.some((log) => same(log.bytes, key.bytes))) return false;
      return policy.logs.push(key) <= 100;
    }
    if (what === "witness" && (words.length === 3 || words.length === 4)) {
      const key = await policyKey(third, [COSIGNATURE, ML_DSA_44]);
      const known = [...policy.witnesses.values()];
      if (key === null || name === "none" || defined(name)) return false;
      if (known.some((each) => same(each.bytes, key.bytes))) return false;
      return policy.witnesses.set(name, key).size <= 100;
    }
    if (what === "group" && others.length && name !== "none" && !defined(name)) {
      const counted = /^[1-9][0-9]{0,3}$/.test(third) ? Number(third) : 0;
      const needed = third === "any" ? 1 : third === "all" ? others.length : counted;
      for (const member of others) {
        if (!defined(member) || policy.grouped.has(member)) return false;
        policy.grouped.add(member);
      }
      policy.groups.set(name, { needed, members: others });
      return needed >= 1 && needed <= others.length && policy.groups.size <= 100;
    }
    if (what === "quorum" && words.length === 2 && policy.quorum === null && (name === "none" || defined(name))) {
      policy.quorum = name;
      return true;
    }
    return false;
  }

  async function policyKey(text, algorithms) {
    const told = decoded(octets(text));
    if (told === null) return null;
    try {
      const key = await keyOf(told);
      return algorithms.includes(key.algorithm) ? key : null;
    } catch (refused) {
      if (refused instanceof Refused) return null;
      throw refused;
    }
  }

  const reached = (policy, name, seen) => {
    const group = policy.groups.get(name);
    if (!group) return name === "none" || seen.has(name);
    return group.members.filter((member) => reached(policy, member, seen)).length >= group.needed;
  };

  // The checkpoint of a note, if a log of the policy signed it and enough witnesses did.
  async function accepted(note, policy) {
    if (policy === null) refuse("policy_missing");
    const [text, signed] = await opened(note, [...policy.logs, ...policy.witnesses.values()]);
    const head = headOf(text);
    if (!signed.some(([key]) => policy.logs.includes(key) && key.name === head.origin)) {
      refuse("log_unknown", { origin: head.origin });
    }
    const seen = new Map();
    for (const [key, value] of signed) {
      for (const [name, witness] of policy.witnesses) {
        if (witness !== key) continue;
        const at = number(value.subarray(0, 8));
        seen.set(name, seen.has(name) && seen.get(name) > at ? seen.get(name) : at);
      }
    }
    if (!reached(policy, policy.quorum, seen)) {
      const there = [...seen.keys()].sort().map(readable).join(", ");
      refuse("quorum_missing", { quorum: readable(policy.quorum), seen: there || "–" });
    }
    return { head, seen };
  }

  const readable = (name) => new TextDecoder().decode(octets(name));

  // ── the tree (RFC 6962) ─────────────────────────────────────────────────────────────────────────────────

  const leafHash = (entry) => sha256([0], entry);
  const nodeHash = (left, right) => sha256([1], left, right);
  const hasSibling = (fn, sn) => fn & 1n || fn < sn;

  const steps = (fn, sn) => {
    let count = 0;
    for (; sn; fn >>= 1n, sn >>= 1n) if (hasSibling(fn, sn)) count += 1;
    return count;
  };

  async function checkInclusion(index, size, leaf, proof, root) {
    if (index < 0n || index >= size) refuse("index_outside_tree", { index, size });
    let [fn, sn, at] = [index, size - 1n, leaf];
    const needed = steps(fn, sn);
    if (proof.length !== needed) refuse("proof_length_wrong", { given: proof.length, needed });
    for (const sibling of proof) {
      for (; !hasSibling(fn, sn); fn >>= 1n, sn >>= 1n);
      at = fn & 1n ? await nodeHash(sibling, at) : await nodeHash(at, sibling);
      fn >>= 1n;
      sn >>= 1n;
    }
    if (!same(at, root)) refuse("root_differs");
  }

  async function checkExtension(old, head, proof) {
    if (head.size < old.size) refuse("tree_shrank", { old_size: old.size, new_size: head.size });
    const empty = await sha256();
    if ((old.size === 0n && !same(old.root, empty)) || (old.size === head.size && !same(old.root, head.root))) {
      refuse("old_root_differs", { old_size: old.size });
    }
    if (old.size === 0n || old.size === head.size) {
      if (proof.length) refuse("proof_length_wrong", { given: proof.length, needed: 0 });
      return;
    }
    let shift = 0n;
    while (!((old.size >> shift) & 1n)) shift += 1n;
    let [fn, sn] = [(old.size - 1n) >> shift, (head.size - 1n) >> shift];
    const needed = steps(fn, sn) + (fn ? 1 : 0);
    if (proof.length !== needed) refuse("proof_length_wrong", { given: proof.length, needed });
    const path = [...proof];
    let before = fn ? path.shift() : old.root;
    let after = before;
    for (const sibling of path) {
      for (; !hasSibling(fn, sn); fn >>= 1n, sn >>= 1n);
      if (fn & 1n) {
        before = await nodeHash(sibling, before);
        after = await nodeHash(sibling, after);
      } else {
        after = await nodeHash(after, sibling);
      }
      fn >>= 1n;
      sn >>= 1n;
    }
    if (!same(before, old.root)) refuse("old_root_differs", { old_size: old.size });
    if (!same(after, head.root)) refuse("root_differs");
  }

  const hashes = (lines) => {
    const found = lines.map(unbase64);
    if (lines.length > 63 || found.some((each) => each === null || each.length !== 32)) {
      refuse("proof_malformed", { reason: "hashes" });
    }
    return found;
  };

  // What stands above the first blank line, as one character a byte, and the bytes below it.
  const above = (content) => {
    const [head, blank] = cut(latin(content), "\n\n");
    return [head, blank, content.subarray(head.length + 2)];
  };

  function proofOf(content) {
    const [head, blank, checkpoint] = above(content);
    if (content.length > 1_200_000 || !blank || /[^\x00-\x7f]/.test(head)) refuse("proof_malformed", { reason: "lines" });
    const lines = head.split("\n");
    if (lines.shift() !== "c2sp.org/tlog-proof@v1") refuse("proof_malformed", { reason: "c2sp.org/tlog-proof@v1" });
    let extra = null;
    if (lines.length && lines[0].startsWith("extra ")) {
      extra = unbase64(lines.shift().slice(6));
      if (extra === null || extra.length > 100_000) refuse("proof_malformed", { reason: "extra" });
    }
    const told = lines.shift() ?? "";
    if (!told.startsWith("index ") || !SIZE.test(told.slice(6))) refuse("proof_malformed", { reason: "index" });
    return { index: BigInt(told.slice(6)), hashes: hashes(lines), checkpoint, extra };
  }

  async function checkLogged(proof, entry, policy) {
    const found = await accepted(proof.checkpoint, policy);
    await checkInclusion(proof.index, found.head.size, await leafHash(entry), proof.hashes, found.head.root);
    return found;
  }

  // ── JSON, strictly: no floats, no member twice ──────────────────────────────────────────────────────────

  function jsonOf(text) {
    let at = 0;
    const fail = () => {
      throw new SyntaxError("not the JSON that is asked for");
    };
    const space = () => {
      while (" \t\n\r".includes(text[at]) && at < text.length) at += 1;
    };
    const taken = (pattern) => {
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (!found) fail();
      at = pattern.lastIndex;
      return found[0];
    };
    const string = () => {
      const told = taken(/"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y);
      return JSON.parse(told);
    };
    const rows = (end, one) => {
      at += 1;
      space();
      if (text[at] === end) {
        at += 1;
        return;
      }
      for (;;) {
        one();
        space();
        if (text[at] === end) {
          at += 1;
          return;
        }
        if (text[at] !== ",") fail();
        at += 1;
      }
    };
    const value = (depth) => {
      if (depth > 100) fail();
      space();
      const first = text[at];
      if (first === "{") {
        const told = new Map();
        rows("}", () => {
          space();
          const name = string();
          space();
          if (text[at] !== ":" || told.has(name)) fail();
          at += 1;
          told.set(name, value(depth + 1));
        });
        return told;
      }
      if (first === "[") {
        const told = [];
        rows("]", () => told.push(value(depth + 1)));
        return told;
      }
      if (first === '"') return string();
      const told = taken(/true|false|null|-?(?:0|[1-9][0-9]*)(?![0-9.eE])/y);
      return { true: true, false: false, null: null }[told] ?? (told === "null" ? null : BigInt(told));
    };
    const whole = value(0);
    space();
    if (at < text.length) fail();
    return whole;
  }

  // RFC 8785, of what has no floats and only ASCII names.
  function jcs(told) {
    if (told instanceof Map) {
      const names = [...told.keys()].sort();
      return "{" + names.map((name) => `${JSON.stringify(name)}:${jcs(told.get(name))}`).join(",") + "}";
    }
    if (Array.isArray(told)) return "[" + told.map(jcs).join(",") + "]";
    return typeof told === "bigint" ? told.toString() : JSON.stringify(told);
  }

  // ── proofs of liabilities (docs/reference/psum-v1.md) ───────────────────────────────────────────────────

  const WHOLE_MAX = 2n ** 53n - 1n;
  const HALF = /[\ud800-\udfff]/u;
  const malformed = (reason) => refuse("liability_proof_malformed", { reason });

  const members = (told, names, what) => {
    if (!(told instanceof Map) || told.size !== names.length || !names.every((name) => told.has(name))) malformed(what);
    return Object.fromEntries(told);
  };
  const text = (told, what, most) => {
    if (typeof told !== "string" || HALF.test(told) || utf8(told).length > most) malformed(what);
    return told;
  };
  const whole = (told, what, most = WHOLE_MAX) => {
    if (typeof told !== "bigint" || told < 0n || told > BigInt(most)) malformed(what);
    return told;
  };
  const decimal = (told, what) => {
    if (typeof told !== "string" || !/^-?(0|[1-9][0-9]{0,38})$/.test(told) || told === "-0") malformed(what);
    return BigInt(told);
  };
  const octetsOf = (told, what, count) => {
    if (typeof told !== "string" || !/^([0-9a-f]{2})*$/.test(told)) malformed(what);
    if (count !== undefined && told.length !== 2 * count) malformed(what);
    return unhex(told);
  };
  const list = (told, what, most) => {
    if (!Array.isArray(told) || told.length > most) malformed(what);
    return told;
  };
  const canonical = (told) => {
    if (told instanceof Map) {
      for (const [name, value] of told) {
        if (/[^\x00-\x7f]/.test(name)) malformed("basis");
        canonical(value);
      }
    } else if (Array.isArray(told)) told.forEach(canonical);
    else if (typeof told === "string") text(told, "basis", 65_536);
    else if (typeof told === "bigint" && (told > WHOLE_MAX || told < -WHOLE_MAX)) malformed("basis");
  };
  const moment = (told, form) => {
    const found = form.exec(text(told, "time", 40));
    const full = found && (found[2] ? told : `${told}T00:00:00Z`);
    const read = full && new Date(full);
    const fine = read && !Number.isNaN(read.getTime()) && read.toISOString().slice(0, 19) === full.slice(0, 19);
    if (!fine || full.startsWith("0000")) malformed("time");
  };

  const PROOF = ["schema", "commitment", "identifiers", "nonce", "balance", "fragments", "statement", "inclusion"];
  const HEADER = "profile origin asset scale audit day cut_off customers fragments basis".split(" ");

  async function commitmentOf(told) {
    const all = members(told, ["header", "leaves", "height", "root", "total"], "commitment");
    const profile = all.header instanceof Map ? all.header.get("profile") : null;
    if (typeof profile === "string" && profile !== "psum-v1") {
      refuse("profile_unknown", { profile: [...profile].slice(0, 40).join("") });
    }
    const header = members(all.header, HEADER, "header");
    for (const name of ["profile", "origin", "asset"]) text(header[name], name, 200);
    whole(header.scale, "scale", 255);
    whole(header.audit, "audit");
    const fragments = whole(header.fragments, "fragments", 4);
    moment(header.day, /^([0-9]{4}-[0-9]{2}-[0-9]{2})$/);
    moment(header.cut_off, /^([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)$/);
    if (!fragments || !(header.basis instanceof Map)) malformed("header");
    canonical(all.header);
    return {
      told: jcs(told),
      header,
      tree: await sha256(utf8("tallystick/psum-v1/tree\x00" + jcs(all.header))),
      customers: whole(header.customers, "customers"),
      fragments,
      leaves: whole(all.leaves, "leaves"),
      height: whole(all.height, "height", 255),
      root: octetsOf(all.root, "root", 32),
      total: decimal(all.total, "total"),
      digest: hex(await sha256(utf8("tallystick/psum-v1/commitment\x00" + jcs(told)))),
    };
  }

  const parsed = (content, most) => {
    const told = content.length <= most ? decoded(content) : null;
    if (told === null) return null;
    try {
      return jsonOf(told);
    } catch (failure) {
      if (failure instanceof SyntaxError) return null;
      throw failure;
    }
  };

  async function liabilityOf(content) {
    const all = members(parsed(content, 65_536), PROOF, "proof");
    if (all.schema !== "tallystick/liability-proof/1") malformed("schema");
    const identifiers = list(all.identifiers, "identifiers", 8).map((each) => text(each, "identifiers", 200));
    if (!identifiers.length) malformed("identifiers");
    const textOrNull = (told, what) => (told === null ? null : text(told, what, 65_536));
    const statement = textOrNull(all.statement, "statement");
    const inclusion = textOrNull(all.inclusion, "inclusion");
    return {
      commitment: await commitmentOf(all.commitment),
      identifiers,
      nonce: octetsOf(all.nonce, "nonce", 32),
      balance: decimal(all.balance, "balance"),
      fragments: list(all.fragments, "fragments", 4).map(fragmentOf),
      statement,
      inclusion,
    };
  }

  function fragmentOf(told) {
    const all = members(told, ["amount", "index", "path"], "fragment");
    const path = list(all.path, "path", 36).map((step) => {
      if (!Array.isArray(step) || step.length !== 2) malformed("path");
      return [octetsOf(step[0], "path", 32), decimal(step[1], "path")];
    });
    return { amount: decimal(all.amount, "amount"), index: whole(all.index, "index"), path };
  }

  const counted = (bytes) => joined(big(bytes.length, 2), bytes);

  const accountId = (origin, identifiers) =>
    sha256(
      utf8("tallystick/psum-v1/account\x00"),
      counted(utf8(origin)),
      big(identifiers.length, 2),
      ...identifiers.map((each) => counted(utf8(each))),
    );

  // The steps 3 to 14; `published` is the digest of the commitment that everybody is shown.
  async function checkLiability(proof, published, { identifiers = null, balance = null } = {}) {
    const told = proof.commitment;
    const leaves = told.customers * told.fragments;
    const height = leaves > 1n ? BigInt((leaves - 1n).toString(2).length) : 0n;
    if (told.leaves !== leaves || told.height !== height || height > 36n) {
      refuse("tree_shape_wrong", { customers: told.customers, fragments: told.fragments, leaves, height });
    }
    if (told.digest !== published) refuse("another_tree");
    const own = (given) => given.length === proof.identifiers.length && given.every((each, at) => each === proof.identifiers[at]);
    if (identifiers !== null && !own(identifiers)) refuse("account_differs");
    const places = new Set(proof.fragments.map((each) => each.index));
    if (proof.fragments.length !== places.size || BigInt(places.size) !== told.fragments) {
      refuse("fragments_incomplete", { needed: told.fragments, given: places.size });
    }
    const owner = joined(await accountId(told.header.origin, proof.identifiers), proof.nonce);
    for (const [at, fragment] of proof.fragments.entries()) await checkFragment(told, at, owner, fragment);
    const sum = proof.fragments.reduce((all, each) => all + each.amount, 0n);
    for (const expected of [proof.balance, balance]) {
      if (expected !== null && expected !== sum) refuse("balance_differs", { counted: sum, balance: expected });
    }
  }

  async function checkFragment(told, at, owner, { amount, index, path }) {
    for (const each of [amount, ...path.map(([, sum]) => sum)]) {
      if (each < 0n) refuse("amount_negative", { amount: each });
    }
    if (index >= told.leaves) refuse("index_outside_leaves", { index, leaves: told.leaves });
    if (BigInt(path.length) !== told.height) {
      refuse("path_length_wrong", { given: path.length, needed: told.height });
    }
    const bounded = (level, sum) => {
      if (sum >> BigInt(64 + level)) refuse("sum_too_large", { level });
    };
    let total = amount;
    bounded(0, total);
    for (const [level, [, beside]] of path.entries()) {
      bounded(level, beside);
      total += beside;
      bounded(level + 1, total);
    }
    for (const [level, sibling] of path.entries()) {
      const place = (index >> BigInt(level)) ^ 1n;
      const there = (told.leaves + (1n << BigInt(level)) - 1n) >> BigInt(level) || 1n;
      if (place >= there) {
        const pad = await sha256([0x12], told.tree, [level], big(place, 8));
        if (sibling[1] !== 0n || !same(sibling[0], pad)) refuse("padding_altered", { level });
      }
    }
    const leaf = [await sha256([0x10], told.tree, big(at, 2), owner, big(amount, 16)), amount];
    const climbed = async (parent, swapped = -1) => {
      let node = leaf;
      for (const [level, sibling] of path.entries()) {
        const right = Boolean((index >> BigInt(level)) & 1n) !== (level === swapped);
        node = right ? await parent(sibling, node) : await parent(node, sibling);
      }
      return node;
    };
    const root = await climbed(parentOf);
    if (!same(root[0], told.root)) {
      for (const level of path.keys()) {
        if (same((await climbed(parentOf, level))[0], told.root)) refuse("children_swapped", { level });
      }
      // Maxwell and Todd's tree, in which a part can count for less than it holds.
      const broken = same((await climbed(parentOfMaxwellAndTodd))[0], told.root);
      refuse(broken ? "sums_not_bound" : "liabilities_root_differs");
    }
    if (root[1] !== told.total) refuse("total_differs", { total: told.total, sum: root[1] });
  }

  const parentOf = async (left, right) => [
    await sha256([0x11], left[0], big(left[1], 16), right[0], big(right[1], 16)),
    left[1] + right[1],
  ];
  const parentOfMaxwellAndTodd = async (left, right) => [
    await sha256([0x11], big(left[1] + right[1], 16), left[0], right[0]),
    left[1] + right[1],
  ];

  // ── receipts ────────────────────────────────────────────────────────────────────────────────────────────

  function receiptOf(content) {
    try {
      return receiptRead(content);
    } catch (refused) {
      if (refused.code === "liability_proof_malformed") refused.code = "receipt_malformed";
      throw refused;
    }
  }

  function receiptRead(content) {
    const all = members(parsed(content, 1_000_000), ["schema", "entry", "proof", "salt", "payload", "item"], "receipt");
    if (all.schema !== "tallystick/receipt/1") malformed("schema");
    const receipt = {
      entry: text(all.entry, "entry", 65_535),
      proof: proofOf(utf8(text(all.proof, "proof", 1_000_000))),
      salt: all.salt === null ? null : octetsOf(all.salt, "salt", 32),
      payload: all.payload === null ? null : text(all.payload, "payload", 1_000_000),
      item: null,
    };
    if (all.item !== null) {
      const item = members(all.item, ["thing", "blind", "index", "count", "path"], "item");
      receipt.item = {
        thing: octetsOf(item.thing, "thing"),
        blind: octetsOf(item.blind, "blind", 16),
        index: whole(item.index, "index"),
        count: whole(item.count, "count"),
        path: list(item.path, "path", 63).map((each) => octetsOf(each, "path", 32)),
      };
    }
    return receipt;
  }

  async function checkReceipt(receipt, policy) {
    const found = await checkLogged(receipt.proof, utf8(receipt.entry), policy);
    const told = parsed(utf8(receipt.entry), 65_535);
    const entry = told instanceof Map ? told : new Map();
    if (receipt.payload !== null) {
      const salted = [utf8("evid/payload/v1\x00"), receipt.salt ?? new Uint8Array(), utf8(receipt.payload)];
      if (receipt.salt === null || entry.get("c") !== hex(await sha256(...salted))) refuse("payload_differs");
    }
    if (receipt.item !== null) {
      const { thing, blind, index, count, path } = receipt.item;
      const root = entry.get("r");
      if (typeof root !== "string" || !/^[0-9a-f]{64}$/.test(root) || (entry.get("n") ?? count) !== count) {
        refuse("item_differs");
      }
      try {
        await checkInclusion(index, count, await leafHash(joined(blind, thing)), path, unhex(root));
      } catch (refused) {
        if (!(refused instanceof Refused)) throw refused;
        refuse("item_differs");
      }
    }
    return found;
  }

  // A transfer's row as PostgreSQL's binary COPY hands it out: 22 fields, each after its length.
  const [FIELDS, ID, DEBIT, CREDIT, AMOUNT, AT, REFERENCE] = [22, 2, 5, 6, 7, 9, 18];
  const SINCE_2000 = 946_684_800;

  // What a transfer's row says, for its owner to read; null where it is no such row.
  function transferOf(row) {
    const view = new DataView(row.buffer, row.byteOffset, row.length);
    const fields = [];
    let at = 2;
    while (at + 4 <= row.length && fields.length < FIELDS) {
      const length = view.getInt32(at);
      fields.push(length < 0 ? null : row.subarray(at + 4, at + 4 + length));
      at += 4 + Math.max(length, 0);
    }
    const told = fields.length === FIELDS ? [ID, DEBIT, CREDIT, AMOUNT, AT].map((each) => fields[each] ?? []) : [];
    const lengths = told.map((each) => each.length).join();
    if (at !== row.length || view.getUint16(0) !== FIELDS || lengths !== "16,8,8,8,8") return null;
    const id = hex(told[0]).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    const [debit, credit, amount, microseconds] = told.slice(1).map((each) => BigInt.asIntN(64, number(each)));
    const account = (each) => "acc_" + String(each).padStart(18, "0");
    return {
      id: `trf_${id}`,
      debit_account: account(debit),
      credit_account: account(credit),
      amount_minor: String(amount),
      at: Math.floor(Number(microseconds) / 1e6) + SINCE_2000,
      reference: new TextDecoder().decode(fields[REFERENCE] ?? new Uint8Array()),
    };
  }

  // ── files: what each is, and what is said of it ─────────────────────────────────────────────────────────

  const PAGE = /<script type="application\/json" id="evidence">([\s\S]*?)<\/script>/;
  const KINDS = { "tallystick/liability-proof/1": "liability", "tallystick/receipt/1": "receipt" };
  const ENDING = ".tlog-proof";
  const bare = (name) => (name.endsWith(ENDING) ? name.slice(0, -ENDING.length) : name);

  function kindOf(content) {
    const begins = latin(content.subarray(0, 24));
    if (begins.startsWith("c2sp.org/tlog-proof@")) return "proof";
    if (begins.startsWith("old ")) return "history";
    if (/^<!doctype html>/i.test(begins) && PAGE.test(latin(content))) return "page";
    try {
      const told = JSON.parse(decoded(content) ?? "");
      return (told && Object.hasOwn(KINDS, told.schema) && KINDS[told.schema]) || "unknown";
    } catch {
      return latin(content).includes("\n\n\xe2\x80\x94 ") ? "checkpoint" : "unknown";
    }
  }

  function unpacked(given) {
    const files = new Map();
    for (const [name, content] of given) {
      if (kindOf(content) !== "page") {
        files.set(name, content);
        continue;
      }
      // A saved page. Its own policy is not believed: whoever checks brings theirs.
      let texts = [];
      try {
        const { files: inside } = JSON.parse(decoded(octets(PAGE.exec(latin(content))[1])));
        texts = Object.entries(inside).map(([inner, told]) => [`${name}:${inner}`, utf8(told)]);
        if (Object.values(inside).some((told) => typeof told !== "string")) texts = [];
      } catch {
        texts = [];
      }
      // A page without files is answered too: nothing passes by being silent.
      for (const [inner, told] of texts.length ? texts : [[name, new Uint8Array()]]) files.set(inner, told);
    }
    return files;
  }

  // What is said of each file, all of them looked at together. `given`: Map of name to bytes.
  // `asked`: policy, commitments (as `commitmentOf` gives them), identifiers, balance; each may be missing.
  async function answers(given, asked = {}) {
    const files = unpacked(given);
    const policy = asked.policy ?? null;
    const kinds = new Map([...files].map(([name, content]) => [name, kindOf(content)]));
    const entries = new Set([...kinds].filter(([, kind]) => kind === "proof").map(([name]) => bare(name)));
    const told = new Map();
    const heads = [];
    const late = (name) => kinds.get(name) === "history";
    for (const name of [...files.keys()].sort((one, other) => late(one) - late(other))) {
      if (entries.has(name) && kinds.get(name) === "unknown") continue;
      const answer = { file: name, kind: kinds.get(name), code: "", fields: {}, facts: {} };
      told.set(name, answer);
      try {
        const check = CHECKS[answer.kind] ?? CHECKS.unknown;
        const head = await check(answer, files, { ...asked, policy }, heads);
        if (head) heads.push([answer, head]);
      } catch (refused) {
        if (!(refused instanceof Refused)) throw refused;
        answer.code = refused.code;
        answer.fields = refused.fields;
      }
    }
    for (const [answer, head] of heads) {
      for (const [, other] of heads) {
        if (head.origin === other.origin && head.size === other.size && !same(head.root, other.root)) {
          answer.code = "split_view";
          answer.fields = { origin: head.origin, size: head.size };
        }
      }
    }
    return [...files.keys()].filter((name) => told.has(name)).map((name) => told.get(name));
  }

  const remembered = (answer, { head, seen }) => {
    const witnesses = Object.fromEntries([...seen].map(([name, at]) => [readable(name), Number(at)]));
    Object.assign(answer.facts, { origin: head.origin, size: Number(head.size), witnesses });
    return head;
  };

  // The statement stands in an entry's payload; what else the entry says is the proof's extra. Nobody signs
  // that, but the entry that comes of it has to be in the log.
  const stated = async (statement, inclusion, policy) => {
    const proof = proofOf(utf8(inclusion));
    let entry = statement;
    if (proof.extra !== null) {
      const told = objectOf(new TextDecoder().decode(proof.extra));
      const payload = told.get("p");
      if (!(payload instanceof Map) || payload.has("statement")) refuse("payload_differs");
      entry = jcs(new Map([...told, ["p", new Map([...payload, ["statement", objectOf(statement)]])]]));
    }
    return checkLogged(proof, utf8(entry), policy);
  };

  const names = (statement, commitment) => {
    const assets = objectOf(statement).get("assets");
    const liable = (each) => each instanceof Map && each.get("liabilities") instanceof Map;
    return Array.isArray(assets) && assets.some((each) => liable(each) && jcs(each.get("liabilities")) === commitment.told);
  };

  const objectOf = (text) => {
    const told = parsed(utf8(text), 65_536);
    try {
      canonical(told);
    } catch {
      refuse("payload_differs");
    }
    if (!(told instanceof Map)) refuse("payload_differs");
    return told;
  };

  const CHECKS = {
    async checkpoint(answer, files, { policy }) {
      return remembered(answer, await accepted(files.get(answer.file), policy));
    },
    async proof(answer, files, { policy }) {
      const proof = proofOf(files.get(answer.file));
      const entry = files.get(bare(answer.file));
      if (entry === undefined || !answer.file.endsWith(ENDING)) refuse("entry_missing");
      answer.facts.index = Number(proof.index);
      return remembered(answer, await checkLogged(proof, entry, policy));
    },
    async history(answer, files, { policy }, heads) {
      const [head, blank, note] = above(files.get(answer.file));
      const [first, ...lines] = head.split("\n");
      if (!blank || !isSize(first.slice(4))) refuse("proof_malformed", { reason: "old" });
      const proof = hashes(lines);
      const found = await accepted(note, policy);
      const size = BigInt(first.slice(4));
      let known = heads.map(([, each]) => each).filter((each) => each.origin === found.head.origin && each.size === size);
      if (size === 0n) known = [{ origin: found.head.origin, size, root: await sha256() }];
      if (!known.length) refuse("old_checkpoint_missing", { size });
      for (const old of known) await checkExtension(old, found.head, proof);
      answer.facts.old_size = Number(size);
      return remembered(answer, found);
    },
    async receipt(answer, files, { policy }) {
      const receipt = receiptOf(files.get(answer.file));
      answer.facts.index = Number(receipt.proof.index);
      const found = await checkReceipt(receipt, policy);
      if (receipt.item !== null && jsonOf(receipt.entry).get("t") === "custody.transfers_posted") {
        answer.facts.transfer = transferOf(receipt.item.thing);
      }
      return remembered(answer, found);
    },
    async liability(answer, files, { policy, commitments = [], identifiers = null, balance = null }) {
      const proof = await liabilityOf(files.get(answer.file));
      const own = proof.commitment.digest;
      let [head, published] = [null, own];
      if (commitments.length) {
        published = commitments.some((each) => each.digest === own) ? own : "";
      } else if (proof.statement !== null && proof.inclusion !== null) {
        head = remembered(answer, await stated(proof.statement, proof.inclusion, policy));
        published = names(proof.statement, proof.commitment) ? own : "";
      }
      await checkLiability(proof, published, { identifiers, balance });
      // The proof fits itself, and nobody has said that others were shown the same tree.
      if (!commitments.length && head === null) refuse("commitment_missing");
      const { asset, scale, day, customers } = proof.commitment.header;
      Object.assign(answer.facts, { asset, scale: Number(scale), day, customers: Number(customers) });
      Object.assign(answer.facts, { identifiers: proof.identifiers, balance: String(proof.balance) });
      answer.facts.total = String(proof.commitment.total);
      return head;
    },
    async unknown() {
      refuse("file_unknown");
    },
  };

  // ── words ───────────────────────────────────────────────────────────────────────────────────────────────

  // WORDS (written by scripts/verifier.py)
const WORDS = {
    "key_malformed": {
        "en": "This is not a key: {reason}.",
        "zh": "这不是密钥：{reason}。",
        "do": "policy",
    },
    "key_type_unknown": {
        "en": "The key {name} signs in a way that is not known here (type {algorithm}).",
        "zh": "密钥 {name} 的签名方式不受支持（类型 {algorithm}）。",
        "do": "policy",
    },
    "note_malformed": {
        "en": "This is not a signed note: {reason}.",
        "zh": "这不是带签名的文本：{reason}。",
        "do": "again",
    },
    "signature_wrong": {
        "en": "The signature of {name} does not fit the text: it was changed after it was signed, or forged.",
        "zh": "{name} 的签名与正文不符：正文在签名后被改动，或签名系伪造。",
        "do": "report",
    },
    "signature_missing": {
        "en": "Nobody who was expected to sign this did: {names}.",
        "zh": "应当签名的各方均未签名：{names}。",
        "do": "policy",
    },
    "checkpoint_malformed": {
        "en": "This is not a checkpoint: {reason}.",
        "zh": "这不是检查点：{reason}。",
        "do": "again",
    },
    "policy_malformed": {
        "en": "Line {line} of the policy cannot be used: {reason}.",
        "zh": "策略文件第 {line} 行无法使用：{reason}。",
        "do": "policy",
    },
    "log_unknown": {
        "en": "The log {origin} is none that the policy trusts, or its signature is missing.",
        "zh": "日志 {origin} 不在策略信任之列，或缺少其签名。",
        "do": "policy",
    },
    "quorum_missing": {
        "en": "Too few witnesses have cosigned: {quorum} is asked for, and there is only: {seen}.",
        "zh": "见证方共签不足：要求达到 {quorum}，而实际仅有：{seen}。",
        "do": "later",
    },
    "proof_malformed": {
        "en": "This is not a proof of inclusion: {reason}.",
        "zh": "这不是包含证明：{reason}。",
        "do": "again",
    },
    "index_outside_tree": {
        "en": "Entry {index} is not in a log of {size} entries.",
        "zh": "共有 {size} 个条目的日志中没有第 {index} 个（从 0 起计）。",
        "do": "report",
    },
    "tree_shrank": {
        "en": "A log of {new_size} entries cannot have grown out of one of {old_size}.",
        "zh": "只有 {new_size} 个条目的日志不可能由 {old_size} 条增长而来。",
        "do": "report",
    },
    "proof_length_wrong": {
        "en": "The proof has {given} hashes and needs {needed}: some were taken away or added.",
        "zh": "证明含 {given} 个哈希，应为 {needed} 个：有哈希被删去或添入。",
        "do": "report",
    },
    "old_root_differs": {
        "en": "The log of {old_size} entries that was seen earlier is not how this one begins: history was changed.",
        "zh": "此前见过的 {old_size} 个条目并非该日志的开头：历史已被改动。",
        "do": "report",
    },
    "root_differs": {
        "en": "The proof leads to another root than the signed one: entry, place or proof was changed.",
        "zh": "由证明算出的根哈希与已签名的不同：条目、位置或证明被改动。",
        "do": "report",
    },
    "liability_proof_malformed": {
        "en": "This is not a proof of liabilities: {reason}.",
        "zh": "这不是负债证明：{reason}。",
        "do": "again",
    },
    "profile_unknown": {
        "en": "The proof is made by rules that are not known here: {profile}.",
        "zh": "这份证明所用的规则此处不认识：{profile}。",
        "do": "newer",
    },
    "tree_shape_wrong": {
        "en": "{customers} accounts in {fragments} parts make {leaves} leaves and {height} levels; the proof says otherwise.",
        "zh": "{customers} 个账户各分为 {fragments} 份，应有 {leaves} 个叶子、{height} 层；证明所写与此不符。",
        "do": "report",
    },
    "another_tree": {
        "en": "The proof is of another tree than the published one: of another day, or of a tree made for you alone.",
        "zh": "这份证明所属的树不是已公布的那一棵：可能是另一天的，或是专门做给您一人看的。",
        "do": "report",
    },
    "account_differs": {
        "en": "The proof is of another account than yours: the same leaf may have been shown to somebody else too.",
        "zh": "这份证明属于另一个账户，不是您的：同一个叶子可能也出示给了别人。",
        "do": "own",
    },
    "fragments_incomplete": {
        "en": "A balance has {needed} parts, each at a place of its own; the proof shows {given}.",
        "zh": "一笔余额分为 {needed} 份，各有自己的位置；证明只出示了 {given} 份。",
        "do": "report",
    },
    "amount_negative": {
        "en": "The proof holds a negative amount ({amount}): that would hide what others are owed.",
        "zh": "证明中有负数金额（{amount}）：这会掩盖欠其他客户的钱。",
        "do": "report",
    },
    "index_outside_leaves": {
        "en": "There is no leaf {index} in a tree of {leaves}.",
        "zh": "这棵树有 {leaves} 个叶子，没有第 {index} 号。",
        "do": "report",
    },
    "path_length_wrong": {
        "en": "The path has {given} levels and needs {needed}: some were taken away or added.",
        "zh": "路径有 {given} 层，应有 {needed} 层：有的被删去或添加。",
        "do": "report",
    },
    "sum_too_large": {
        "en": "A sum at level {level} is larger than any can be: it was made to run over.",
        "zh": "第 {level} 层的合计超出可能的上限：它是为了溢出而造的。",
        "do": "report",
    },
    "padding_altered": {
        "en": "What fills the tree up at level {level} is not empty, as it must be.",
        "zh": "第 {level} 层用来补齐树的节点应为空，实际不是。",
        "do": "report",
    },
    "children_swapped": {
        "en": "Left and right were exchanged at level {level}: the leaf is not where the proof says.",
        "zh": "第 {level} 层的左右被对调：叶子不在证明所说的位置。",
        "do": "report",
    },
    "sums_not_bound": {
        "en": "The tree hashes the sum of two children and not each one's own: a part of it can count for less than it holds.",
        "zh": "这棵树只对两个子节点的合计取散列，而没有对各自的合计取散列：其中一部分可以被少计。",
        "do": "report",
    },
    "liabilities_root_differs": {
        "en": "The proof leads to another root than the published one: account, amount, place or path was changed.",
        "zh": "证明得出的根与已公布的不同：账户、金额、位置或路径被改动。",
        "do": "report",
    },
    "total_differs": {
        "en": "The published total is {total}, and the tree comes to {sum}.",
        "zh": "公布的总额是 {total}，而这棵树合计为 {sum}。",
        "do": "report",
    },
    "balance_differs": {
        "en": "The proof counts {counted} as owed to you, not {balance}.",
        "zh": "证明中计入欠您的是 {counted}，不是 {balance}。",
        "do": "own",
    },
    "file_unknown": {
        "en": "This is none of the files that can be checked: no checkpoint, proof, receipt or saved page.",
        "zh": "这不是可验证的文件：既非检查点、证明、回执，也非保存的网页。",
        "do": "again",
    },
    "policy_missing": {
        "en": "Nobody has said whose signatures count: checking needs a policy.",
        "zh": "未说明以谁的签名为准：验证需要策略文件。",
        "do": "policy",
    },
    "entry_missing": {
        "en": "The entry that the proof is of is not here: it lies beside the proof, under its name without the ending.",
        "zh": "缺少证明所针对的条目：它应与证明放在一起，文件名为证明文件名去掉扩展名。",
        "do": "beside",
    },
    "receipt_malformed": {
        "en": "This is not a receipt: {reason}.",
        "zh": "这不是回执：{reason}。",
        "do": "again",
    },
    "payload_differs": {
        "en": "What the receipt shows is not what was entered in the log: one of them was changed.",
        "zh": "回执所示内容与日志中登记的不一致：其中之一被改动。",
        "do": "report",
    },
    "item_differs": {
        "en": "What the receipt shows is not among the things that were entered in the log together.",
        "zh": "回执所示内容不在日志同批登记的各项之中。",
        "do": "report",
    },
    "old_checkpoint_missing": {
        "en": "The checkpoint of {size} entries that this one is said to have grown out of is not among the files.",
        "zh": "所给文件中没有 {size} 个条目时的检查点，而该日志据称由其增长而来。",
        "do": "beside",
    },
    "split_view": {
        "en": "There are two roots for {size} entries of {origin}: its log shows different people different histories.",
        "zh": "日志 {origin} 在 {size} 个条目处有两个不同的根哈希：它向不同的人出示不同的历史。",
        "do": "report",
    },
    "commitment_missing": {
        "en": "The proof fits itself, but nothing here says that everybody was shown the same tree.",
        "zh": "证明自身成立，但没有任何依据表明所有人看到的是同一棵树。",
        "do": "published",
    },
};
const ADVICE = {
    "again": {
        "en": "Fetch the file again from where you got it. If it stays so, keep both and ask whoever gave it to you.",
        "zh": "请重新下载该文件。若仍如此，请保留两份文件并询问提供方。",
    },
    "policy": {
        "en": "Take the policy from the regulator's or the bank's site, or from your contract; not from the platform.",
        "zh": "请从监管机构或存管银行的网站、或您的合同中取得策略文件，不要使用平台提供的。",
    },
    "later": {
        "en": "Witnesses sign after the log does: fetch the file again later. If it stays so for a day, report it.",
        "zh": "见证方在日志之后签名：请稍后重新下载。若一天后仍如此，请向监管机构反映。",
    },
    "own": {
        "en": "Compare account, identifiers and amount with your contract. If they are as you gave them, report it to the regulator together with this file.",
        "zh": "请将账号、标识与金额同您的合同核对。若确与您提供的一致，请连同本文件向监管机构举报。",
    },
    "report": {
        "en": "Keep this file unchanged: it is evidence. Send it to the platform and to the regulator.",
        "zh": "请原样保存本文件：它是证据。请发送给平台和监管机构。",
    },
    "newer": {
        "en": "Fetch a newer verifier.",
        "zh": "请下载更新版本的验证工具。",
    },
    "beside": {
        "en": "Put the file beside this one and check both.",
        "zh": "请将该文件放在同一目录，一并验证。",
    },
    "published": {
        "en": "Give the commitment as the bank or the regulator shows it, or a proof that holds the signed statement.",
        "zh": "请提供银行或监管机构公布的承诺值，或使用含已签名声明的证明。",
    },
    "checkpoint": {
        "en": "Verified: a signed head of the log.",
        "zh": "已验证：日志的已签名检查点。",
    },
    "proof": {
        "en": "Verified: the entry is in the log, at {index}.",
        "zh": "已验证：该条目在日志中，序号 {index}。",
    },
    "history": {
        "en": "Verified: the log only grew, and begins with the {old_size} entries seen before.",
        "zh": "已验证：日志只增不改，开头即此前所见的 {old_size} 个条目。",
    },
    "receipt": {
        "en": "Verified: the receipt's entry is in the log, at {index}, and it is what the receipt shows.",
        "zh": "已验证：回执对应的条目在日志中，序号 {index}，且与回执所示一致。",
    },
    "liability": {
        "en": "Verified: {owed} {asset} is counted as owed to {identifiers} on {day}, in a total of {whole} {asset} over {customers} accounts.",
        "zh": "已验证：{day} 平台应付给 {identifiers} 的 {owed} {asset} 已计入负债总额 {whole} {asset}，共 {customers} 个账户。",
    },
    "log": {
        "en": "Log {origin}, {size} entries; cosigned by: {seen}.",
        "zh": "日志 {origin}，共 {size} 个条目；共签的见证方：{seen}。",
    },
};
// END OF WORDS

  const filled = (template, fields) =>
    template.replace(/\{(\w+)\}/g, (_, name) => {
      const value = fields[name];
      return value === undefined || value === null ? "–" : Array.isArray(value) ? value.join(", ") : String(value);
    });

  const momentOf = (seconds) => {
    const read = new Date(seconds * 1000);
    return Number.isNaN(read.getTime()) ? "–" : read.toISOString().slice(0, 16).replace("T", " ") + " UTC";
  };

  const major = (minor, scale) => {
    const digits = minor.padStart(scale + 1, "0");
    return scale ? `${digits.slice(0, -scale)}.${digits.slice(-scale)}` : digits;
  };

  // An answer in words, in "en" or "zh".
  function told(answer, language) {
    if (answer.code) {
      const words = WORDS[answer.code];
      return `${filled(words[language], answer.fields)} ${ADVICE[words.do][language]}`;
    }
    const facts = { ...answer.facts };
    if (answer.kind === "liability") {
      Object.assign(facts, { owed: major(facts.balance, facts.scale), whole: major(facts.total, facts.scale) });
    }
    const seen = Object.entries(facts.witnesses ?? {}).map(([name, at]) => `${name} (${momentOf(at)})`);
    const parts = [filled(ADVICE[answer.kind][language], facts)];
    if ("origin" in facts) parts.push(filled(ADVICE.log[language], { ...facts, seen: seen.join(", ") || "–" }));
    return parts.join(" ");
  }

  return { answers, told, major, policyOf, commitmentOf, jsonOf, sha256, ed25519Fits, ed25519ByHand, mlDsa44Fits, Refused };
})();

if (typeof module !== "undefined") {
  module.exports = tallystick;
  if (require.main === module) main(process.argv.slice(2));
}

async function main(words) {
  const { existsSync, readFileSync } = require("node:fs");
  const options = { file: [], commitment: [], identifier: [] };
  for (let at = 0; at < words.length; at += 1) {
    const name = words[at].startsWith("--") ? words[at].slice(2) : "file";
    if (name === "json") options.json = true;
    else if (name in options) options[name].push(name === "file" ? words[at] : words[(at += 1)]);
    else if (["policy", "balance", "language"].includes(name)) options[name] = words[(at += 1)];
    else options.file.length = 0;
  }
  if (!options.file.length) {
    console.error("node verify.js FILE... --policy POLICY [--commitment FILE] [--identifier ID] [--balance N] [--json]");
    process.exit(2);
  }
  const language = options.language ?? ((process.env.LANG ?? "").startsWith("zh") ? "zh" : "en");
  let found;
  try {
    const read = (path) => new Uint8Array(readFileSync(path));
    const commitments = options.commitment.map((path) => tallystick.commitmentOf(tallystick.jsonOf(readFileSync(path, "utf8"))));
    const asked = {
      policy: options.policy === undefined ? null : await tallystick.policyOf(read(options.policy)),
      commitments: await Promise.all(commitments),
      identifiers: options.identifier.length ? options.identifier : null,
      balance: options.balance === undefined ? null : BigInt(options.balance),
    };
    const given = new Map(options.file.map((path) => [path, read(path)]));
    for (const path of options.file.filter((each) => each.endsWith(".tlog-proof"))) {
      const beside = path.slice(0, -".tlog-proof".length);
      if (existsSync(beside) && !given.has(beside)) given.set(beside, read(beside));
    }
    found = await tallystick.answers(given, asked);
  } catch (failure) {
    const answer = { code: failure.code, fields: failure.fields };
    console.error(failure instanceof tallystick.Refused ? tallystick.told(answer, language) : String(failure));
    process.exit(2);
  }
  const spelled = found.map((answer) => ({
    file: answer.file,
    kind: answer.kind,
    verified: !answer.code,
    code: answer.code,
    message: tallystick.told(answer, language),
    facts: answer.facts,
  }));
  if (options.json) console.log(JSON.stringify(spelled, null, 1));
  else for (const each of spelled) console.log(`${each.verified ? "✓" : "✗"} ${each.file}: ${each.message}`);
  process.exit(spelled.every((each) => each.verified) && spelled.length ? 0 : 1);
}

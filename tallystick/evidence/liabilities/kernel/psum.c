/* The sum tree of psum-v1 in C: the same bytes as the Python twin, many times as fast.
 *
 * Functions over the caller's buffers: the order of a chunk, the leaves of a chunk, one level or eight
 * levels of inner nodes. Nothing is allocated, no state is kept, no libc but memcpy and memset: a call reads and
 * writes what its arguments bound, and may run on many threads at once. What is refused returns a code.
 *
 * SHA-256 is hashed two messages at a time: with the processor's SHA extensions where it has them, which
 * is asked at run time, else in portable C. docs/reference/psum-v1.md has the layouts.
 */

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <cpuid.h>
#include <immintrin.h>
#endif

#define EXPORT __attribute__((visibility("default")))

__extension__ typedef unsigned __int128 u128;

enum {
    NODE = 48,         /* hash 32, sum 16 */
    RECORD = 40,       /* account 32, amount 8 */
    FRAGMENTS_MAX = 4,
    ROUNDS = 10,
    BATCH = 16         /* accounts whose leaves are hashed together; even */
};

static const uint32_t SKIP = 0xffffffffu; /* a leaf that nobody asked for */

/* What a call answers. */
enum { DONE = 0, BAD_ARGUMENT = 1, PLACE_OUTSIDE = 2, SUM_OVERFLOWS = 3 };

static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static const uint32_t START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static inline uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t get64(const uint8_t *p) {
    return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static inline void put32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8), p[3] = (uint8_t)v;
}

static inline void put64(uint8_t *p, uint64_t v) {
    put32(p, (uint32_t)(v >> 32)), put32(p + 4, (uint32_t)v);
}

/* ── SHA-256: two messages of `blocks` blocks, from the state(s) given ─────────────────────────────────── */

typedef void two_fn(const uint32_t *from, const uint8_t *a, const uint8_t *b, int blocks, uint8_t *hash_a,
                    uint8_t *hash_b);

static inline uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void one_portable(const uint32_t *from, const uint8_t *message, int blocks, uint8_t *hash) {
    uint32_t state[8];
    memcpy(state, from, sizeof state);
    for (; blocks > 0; blocks--, message += 64) {
        uint32_t w[64], s[8];
        for (int t = 0; t < 16; t++) w[t] = get32(message + 4 * t);
        for (int t = 16; t < 64; t++) {
            uint32_t x = w[t - 15], y = w[t - 2];
            w[t] = w[t - 16] + w[t - 7] + (ror(x, 7) ^ ror(x, 18) ^ x >> 3) +
                   (ror(y, 17) ^ ror(y, 19) ^ y >> 10);
        }
        memcpy(s, state, sizeof s);
        for (int t = 0; t < 64; t++) {
            uint32_t t1 = s[7] + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) +
                          ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[t] + w[t];
            uint32_t t2 = (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22)) +
                          ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1;
            s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++) state[i] += s[i];
    }
    for (int i = 0; i < 8; i++) put32(hash + 4 * i, state[i]);
}

static void two_portable(const uint32_t *from, const uint8_t *a, const uint8_t *b, int blocks,
                         uint8_t *hash_a, uint8_t *hash_b) {
    one_portable(from, a, blocks, hash_a);
    one_portable(from, b, blocks, hash_b);
}

#ifdef HAVE_X86
/* One round instruction waits for the one before it: two messages side by side fill the wait. */
#define FOUR_ROUNDS(s0, s1, m, k)                                  \
    do {                                                           \
        __m128i sum_ = _mm_add_epi32(m, k);                        \
        s1 = _mm_sha256rnds2_epu32(s1, s0, sum_);                  \
        s0 = _mm_sha256rnds2_epu32(s0, s1, _mm_shuffle_epi32(sum_, 0x0e)); \
    } while (0)

/* The four words of the message after those in m0 to m3, into m0. */
#define SCHEDULE(m0, m1, m2, m3)                                                            \
    do {                                                                                    \
        __m128i next_ = _mm_add_epi32(_mm_sha256msg1_epu32(m0, m1), _mm_alignr_epi8(m3, m2, 4)); \
        m0 = _mm_sha256msg2_epu32(next_, m3);                                               \
    } while (0)

#define BOTH_ROUNDS(t, am, bm)                                             \
    do {                                                                   \
        const __m128i k_ = _mm_load_si128((const __m128i *)(K + 4 * (t))); \
        FOUR_ROUNDS(a0, a1, am, k_);                                       \
        FOUR_ROUNDS(b0, b1, bm, k_);                                       \
    } while (0)

#define FOUR_GROUPS(t)                                                  \
    do {                                                                \
        SCHEDULE(am0, am1, am2, am3);                                   \
        SCHEDULE(bm0, bm1, bm2, bm3);                                   \
        BOTH_ROUNDS(t, am0, bm0);                                       \
        SCHEDULE(am1, am2, am3, am0);                                   \
        SCHEDULE(bm1, bm2, bm3, bm0);                                   \
        BOTH_ROUNDS((t) + 1, am1, bm1);                                 \
        SCHEDULE(am2, am3, am0, am1);                                   \
        SCHEDULE(bm2, bm3, bm0, bm1);                                   \
        BOTH_ROUNDS((t) + 2, am2, bm2);                                 \
        SCHEDULE(am3, am0, am1, am2);                                   \
        SCHEDULE(bm3, bm0, bm1, bm2);                                   \
        BOTH_ROUNDS((t) + 3, am3, bm3);                                 \
    } while (0)

__attribute__((target("sha,sse4.1,ssse3"))) static void two_sha_ni(const uint32_t *from, const uint8_t *a,
                                                                  const uint8_t *b, int blocks,
                                                                  uint8_t *hash_a, uint8_t *hash_b) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    /* The instructions want the state as ABEF and CDGH. */
    __m128i lower = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)from), 0xb1);
    __m128i upper = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(from + 4)), 0x1b);
    __m128i a0 = _mm_alignr_epi8(lower, upper, 8), a1 = _mm_blend_epi16(upper, lower, 0xf0);
    __m128i b0 = a0, b1 = a1;
    for (; blocks > 0; blocks--, a += 64, b += 64) {
        const __m128i a0_was = a0, a1_was = a1, b0_was = b0, b1_was = b1;
#define WORDS(p, i) _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)((p) + 16 * (i))), swap)
        __m128i am0 = WORDS(a, 0), am1 = WORDS(a, 1), am2 = WORDS(a, 2), am3 = WORDS(a, 3);
        __m128i bm0 = WORDS(b, 0), bm1 = WORDS(b, 1), bm2 = WORDS(b, 2), bm3 = WORDS(b, 3);
#undef WORDS
        BOTH_ROUNDS(0, am0, bm0);
        BOTH_ROUNDS(1, am1, bm1);
        BOTH_ROUNDS(2, am2, bm2);
        BOTH_ROUNDS(3, am3, bm3);
        FOUR_GROUPS(4);
        FOUR_GROUPS(8);
        FOUR_GROUPS(12);
        a0 = _mm_add_epi32(a0, a0_was), a1 = _mm_add_epi32(a1, a1_was);
        b0 = _mm_add_epi32(b0, b0_was), b1 = _mm_add_epi32(b1, b1_was);
    }
#define STORE(hash, s0, s1)                                                                              \
    do {                                                                                                 \
        __m128i feba_ = _mm_shuffle_epi32(s0, 0x1b), dchg_ = _mm_shuffle_epi32(s1, 0xb1);                \
        _mm_storeu_si128((__m128i *)(hash), _mm_shuffle_epi8(_mm_blend_epi16(feba_, dchg_, 0xf0), swap)); \
        _mm_storeu_si128((__m128i *)((hash) + 16), _mm_shuffle_epi8(_mm_alignr_epi8(dchg_, feba_, 8), swap)); \
    } while (0)
    STORE(hash_a, a0, a1);
    STORE(hash_b, b0, b1);
#undef STORE
}

static int has_sha_ni(void) {
    /* Asked once: in a virtual machine the question takes longer than the leaves of a tile. Two threads that
     * ask at once get the same answer. */
    static volatile int known = -1;
    if (known < 0) {
        unsigned a, b, c, d;
        int sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
        known = sha && __get_cpuid(1, &a, &b, &c, &d) && (c >> 9 & 1) && (c >> 19 & 1);
    }
    return known;
}
#endif

/* ── what is exported ──────────────────────────────────────────────────────────────────────────────────── */

/* Raised with every change of what a function takes or gives. */
EXPORT int psum_version(void) { return 1; }

/* 1: the processor's SHA extensions; 0: portable C. */
EXPORT int psum_accelerated(void) {
#ifdef HAVE_X86
    return has_sha_ni();
#else
    return 0;
#endif
}

static two_fn *chosen(int portable) {
#ifdef HAVE_X86
    if (!portable && has_sha_ni()) return two_sha_ni;
#endif
    (void)portable;
    return two_portable;
}

/* Where slots of a chunk lie, or with `back` which slots lie there: `found[i]` for each `wanted[i]`.
 * `tables`: the ten rounds' values in a row, `b` in even rounds (each below a), `a` in odd ones (below b). */
EXPORT int psum_walk(const uint32_t *tables, uint32_t a, uint32_t b, uint32_t slots, int back,
                     const uint32_t *wanted, uint32_t count, uint32_t *found) {
    if (slots == 0 || slots >= SKIP || a == 0 || b == 0 || (uint64_t)a * b < slots ||
        (uint64_t)a * b > 0x7fffffffu)
        return BAD_ARGUMENT;
    const uint32_t *table[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        table[r] = tables;
        uint32_t most = r & 1 ? b : a, length = r & 1 ? a : b;
        for (uint32_t x = 0; x < length; x++)
            if (tables[x] >= most) return BAD_ARGUMENT;
        tables += length;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t x = wanted[i];
        if (x >= slots) return PLACE_OUTSIDE;
        do {
            uint32_t left = x / b, right = x % b;
            if (back) {
                for (int r = ROUNDS - 2; r >= 0; r -= 2) {
                    right += b - table[r + 1][left];
                    if (right >= b) right -= b;
                    left += a - table[r][right];
                    if (left >= a) left -= a;
                }
            } else {
                for (int r = 0; r < ROUNDS; r += 2) {
                    left += table[r][right];
                    if (left >= a) left -= a;
                    right += table[r + 1][left];
                    if (right >= b) right -= b;
                }
            }
            x = left * b + right;
        } while (x >= slots);
        found[i] = x;
    }
    return DONE;
}

/* The ends of padded messages, written once; what varies is copied in front of them. */
struct messages {
    uint8_t inner[2][64];   /* account, after the key's block */
    uint8_t outer[2][64];   /* inner hash, after the key's block */
    uint8_t split[2][64];   /* 0x14, nonce */
    uint8_t leaf[2][128];   /* 0x10, tree, fragment, account, nonce, amount */
};

static void end(uint8_t *message, size_t length, size_t room, size_t hashed_before) {
    memset(message + length, 0, room - length);
    message[length] = 0x80;
    put64(message + room - 8, (uint64_t)(hashed_before + length) * 8);
}

static void prepare(struct messages *m, const uint8_t *tree) {
    for (int i = 0; i < 2; i++) {
        end(m->inner[i], 32, 64, 64);
        end(m->outer[i], 32, 64, 64);
        m->split[i][0] = 0x14;
        end(m->split[i], 33, 64, 0);
        m->leaf[i][0] = 0x10;
        memcpy(m->leaf[i] + 1, tree, 32);
        memset(m->leaf[i] + 33, 0, 82);
        end(m->leaf[i], 115, 128, 0);
    }
}

/* The states of HMAC's inner and outer hash after the block of a key of 32 bytes. */
static void keyed(two_fn *two, const uint8_t *key, uint32_t *inner, uint32_t *outer) {
    uint8_t block[2][64], hash[2][32];
    memset(block[0], 0x36, 64);
    memset(block[1], 0x5c, 64);
    for (int i = 0; i < 32; i++) block[0][i] ^= key[i], block[1][i] ^= key[i];
    two(START, block[0], block[1], 1, hash[0], hash[1]);
    for (int i = 0; i < 8; i++) inner[i] = get32(hash[0] + 4 * i), outer[i] = get32(hash[1] + 4 * i);
}

/* The leaves of `accounts` records: fragment f of account i goes to nodes[places[fragments * i + f]]. */
EXPORT int psum_leaves(const uint8_t *tree, const uint8_t *nonce_key, const uint8_t *records,
                       uint32_t accounts, uint32_t fragments, const uint32_t *places, uint32_t room,
                       uint8_t *nodes, int portable) {
    if (fragments < 1 || fragments > FRAGMENTS_MAX || (uint64_t)accounts * fragments >= SKIP)
        return BAD_ARGUMENT;
    two_fn *two = chosen(portable);
    struct messages m;
    uint32_t inner[8], outer[8];
    uint8_t nonces[BATCH][32], splits[BATCH][32], spare[32];
    prepare(&m, tree);
    keyed(two, nonce_key, inner, outer);
    for (uint32_t first = 0; first < accounts; first += BATCH) {
        const uint32_t count = accounts - first < BATCH ? accounts - first : BATCH;
        const uint8_t *record = records + (size_t)first * RECORD;
        const uint32_t *place = places + (size_t)first * fragments;
        for (uint32_t s = 0; s < count * fragments; s++) {
            if (place[s] == SKIP) continue;
            if (place[s] >= room) return PLACE_OUTSIDE;
            /* Leaves scatter: the line is on its way while the nonces are hashed. */
            __builtin_prefetch(nodes + (size_t)place[s] * NODE, 1);
            __builtin_prefetch(nodes + (size_t)place[s] * NODE + NODE - 1, 1);
        }
        for (uint32_t i = 0; i < count; i += 2) {
            const int pair = i + 1 < count; /* where one is left over, the second message is a stale one */
            uint8_t *second = pair ? nonces[i + 1] : spare;
            memcpy(m.inner[0], record + (size_t)i * RECORD, 32);
            if (pair) memcpy(m.inner[1], record + (size_t)(i + 1) * RECORD, 32);
            else memset(m.inner[1], 0, 32);
            two(inner, m.inner[0], m.inner[1], 1, m.outer[0], m.outer[1]);
            two(outer, m.outer[0], m.outer[1], 1, nonces[i], second);
            if (fragments > 1) {
                memcpy(m.split[0] + 1, nonces[i], 32);
                memcpy(m.split[1] + 1, second, 32);
                two(START, m.split[0], m.split[1], 1, splits[i], pair ? splits[i + 1] : spare);
            }
        }
        uint8_t *to[2] = {0, spare};
        int waiting = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t rest = get64(record + (size_t)i * RECORD + 32);
            for (uint32_t f = 0; f < fragments; f++) {
                uint64_t amount = rest;
                if (f + 1 < fragments)
                    amount = (uint64_t)((u128)get64(splits[i] + 8 * f) * ((u128)rest + 1) >> 64);
                rest -= amount;
                if (place[i * fragments + f] == SKIP) continue;
                uint8_t *leaf = m.leaf[waiting];
                leaf[34] = (uint8_t)f; /* the u16's other byte stays 0 */
                memcpy(leaf + 35, record + (size_t)i * RECORD, 32);
                memcpy(leaf + 67, nonces[i], 32);
                put64(leaf + 107, amount); /* the u128's upper half stays 0 */
                to[waiting] = nodes + (size_t)place[i * fragments + f] * NODE;
                memcpy(to[waiting] + 32, leaf + 99, 16);
                if (++waiting == 2) {
                    two(START, m.leaf[0], m.leaf[1], 2, to[0], to[1]);
                    waiting = 0;
                }
            }
        }
        if (waiting) two(START, m.leaf[0], m.leaf[1], 2, to[0], spare);
    }
    return DONE;
}

/* The parents of `pairs` pairs of nodes. `to` may be where `from` is: a parent lies before its children. */
static int parents(two_fn *two, const uint8_t *from, size_t pairs, uint8_t *to, uint8_t (*message)[128]) {
    uint8_t hashes[2][32];
    for (size_t i = 0; i < pairs; i += 2) {
        const size_t width = pairs - i < 2 ? 1 : 2;
        uint64_t high[2] = {0, 0}, low[2] = {0, 0};
        for (size_t j = 0; j < width; j++) {
            const uint8_t *pair = from + (i + j) * 2 * NODE;
            memcpy(message[j] + 1, pair, 2 * NODE);
            u128 left = (u128)get64(pair + 32) << 64 | get64(pair + 40);
            u128 sum = left + ((u128)get64(pair + NODE + 32) << 64 | get64(pair + NODE + 40));
            if (sum < left || sum >> 100) return SUM_OVERFLOWS;
            high[j] = (uint64_t)(sum >> 64), low[j] = (uint64_t)sum;
        }
        two(START, message[0], message[1], 2, hashes[0], hashes[1]);
        for (size_t j = 0; j < width; j++) {
            uint8_t *node = to + (i + j) * NODE;
            memcpy(node, hashes[j], 32);
            put64(node + 32, high[j]);
            put64(node + 40, low[j]);
        }
    }
    return DONE;
}

static void prepare_inner(uint8_t (*message)[128]) {
    for (int i = 0; i < 2; i++) {
        message[i][0] = 0x11;
        memset(message[i] + 1, 0, 96);
        end(message[i], 97, 128, 0);
    }
}

/* One level up: `pairs` parents of twice as many nodes. */
EXPORT int psum_parents(const uint8_t *nodes, uint64_t pairs, uint8_t *to, int portable) {
    uint8_t message[2][128];
    if (pairs >> 40) return BAD_ARGUMENT;
    prepare_inner(message);
    return parents(chosen(portable), nodes, (size_t)pairs, to, message);
}

/* All levels of a tile: after its 256 nodes come 128 parents, 64, and so on to the one of 511. */
EXPORT int psum_levels(uint8_t *nodes, int portable) {
    two_fn *two = chosen(portable);
    uint8_t message[2][128];
    prepare_inner(message);
    for (size_t pairs = 128; pairs; pairs /= 2) {
        uint8_t *above = nodes + 2 * pairs * NODE;
        int answer = parents(two, nodes, pairs, above, message);
        if (answer != DONE) return answer;
        nodes = above;
    }
    return DONE;
}

/* The machine's limit, for the bench: two messages of so many blocks, and nothing else. */
EXPORT int psum_bare(const uint8_t *a, const uint8_t *b, int blocks, uint8_t *hashes, int portable) {
    chosen(portable)(START, a, b, blocks, hashes, hashes + 32);
    return DONE;
}

/* Eight levels up: each 256 nodes of `nodes`, which are used up, become one of `to`. */
EXPORT int psum_tiles(uint8_t *nodes, uint64_t tiles, uint8_t *to, int portable) {
    two_fn *two = chosen(portable);
    uint8_t message[2][128];
    if (tiles >> 40) return BAD_ARGUMENT;
    prepare_inner(message);
    for (uint64_t t = 0; t < tiles; t++) {
        uint8_t *tile = nodes + (size_t)t * 256 * NODE;
        for (size_t pairs = 128; pairs; pairs /= 2) {
            int answer = parents(two, tile, pairs, tile, message);
            if (answer != DONE) return answer;
        }
        memcpy(to + (size_t)t * NODE, tile, NODE);
    }
    return DONE;
}

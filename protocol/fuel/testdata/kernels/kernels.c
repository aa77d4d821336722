// The kernels of the benchmarks: each exported function does a fixed piece of work and returns a number of its result.
// Built for WebAssembly and, by bench.sh, for this machine, by the same compiler.
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

static uint32_t rotr(uint32_t x, int n) { return x >> n | x << (32 - n); }

static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
	0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
	0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t state[8];
static uint8_t buffer[65536];

static void block(const uint8_t *p) {
	uint32_t w[64];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
	for (int i = 0; i < 64; i++) {
		uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i];
		uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
		h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
	}
	state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

uint32_t EXPORT(sha256)(void) {
	for (int i = 0; i < 8; i++) state[i] = K[i];
	for (uint32_t i = 0; i < sizeof buffer; i++) buffer[i] = i * 7;
	for (int round = 0; round < 128; round++)
		for (uint32_t i = 0; i < sizeof buffer; i += 64) block(buffer + i);
	return state[0];
}

static uint8_t composite[1 << 21];

uint32_t EXPORT(sieve)(void) {
	uint32_t n = 0;
	for (int round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < sizeof composite; i++) composite[i] = 0;
		n = 0;
		for (uint32_t i = 2; i < sizeof composite; i++) {
			if (composite[i]) continue;
			n++;
			for (uint32_t j = i + i; j < sizeof composite; j += i) composite[j] = 1;
		}
	}
	return n;
}

enum { N = 256 };
static double A[N][N], B[N][N], C[N][N];

uint32_t EXPORT(matmul)(void) {
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) A[i][j] = i + j, B[i][j] = i - j;
	for (int round = 0; round < 4; round++)
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N; j++) {
				double sum = 0;
				for (int k = 0; k < N; k++) sum += A[i][k] * B[k][j];
				C[i][j] = sum;
			}
	return (uint32_t)(int32_t)C[3][5];
}

static __attribute__((noinline)) uint32_t fibonacci(uint32_t n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

uint32_t EXPORT(fib)(void) { return fibonacci(33); }

// mix does what CoreMark does: a list that is searched and reversed, a matrix of integers, a state machine over text, and a
// checksum over all of it.
struct item { struct item *next; int16_t data, index; };
static struct item items[256];
static int16_t m1[24][24], m2[24][24];
static int32_t m3[24][24];

static uint16_t crc(uint16_t c, uint8_t v) {
	for (int i = 0; i < 8; i++, v >>= 1) c = (c ^ v) & 1 ? (c >> 1) ^ 0xa001 : c >> 1;
	return c;
}

static __attribute__((noinline)) struct item *reverse(struct item *l) {
	struct item *r = 0;
	while (l) {
		struct item *next = l->next;
		l->next = r, r = l, l = next;
	}
	return r;
}

static __attribute__((noinline)) uint32_t machine(const char *p) {
	enum { START, INT, FLOAT, EXP, BAD } s = START;
	uint32_t n = 0;
	for (; *p; p++)
		switch (s) {
		case START: s = *p >= '0' && *p <= '9' ? INT : *p == '.' ? FLOAT : *p == ',' ? START : BAD; break;
		case INT: s = *p == '.' ? FLOAT : *p == 'e' ? EXP : *p == ',' ? (n += 1, START) : *p >= '0' && *p <= '9' ? INT : BAD; break;
		case FLOAT: s = *p == 'e' ? EXP : *p == ',' ? (n += 2, START) : *p >= '0' && *p <= '9' ? FLOAT : BAD; break;
		case EXP: s = *p == ',' ? (n += 4, START) : *p >= '0' && *p <= '9' ? EXP : BAD; break;
		case BAD: s = *p == ',' ? (n += 8, START) : BAD; break;
		}
	return n;
}

uint32_t EXPORT(mix)(void) {
	uint16_t c = 0;
	struct item *l = 0;
	for (int i = 0; i < 256; i++) items[i] = (struct item){l, (int16_t)(i * 31), (int16_t)i}, l = items + i;
	for (int round = 0; round < 1500; round++) {
		for (int k = 0; k < 8; k++) {
			l = reverse(l);
			struct item *p = l;
			while (p && p->index != (k * 37 + round) % 256) p = p->next;
			if (p) c = crc(c, (uint8_t)p->data++);
		}
		for (int i = 0; i < 24; i++)
			for (int j = 0; j < 24; j++) m1[i][j] = (int16_t)(i * j + round), m2[i][j] = (int16_t)(i + j - round), m3[i][j] = 0;
		for (int i = 0; i < 24; i++)
			for (int j = 0; j < 24; j++)
				for (int k = 0; k < 24; k++) m3[i][j] += m1[i][k] * m2[k][j];
		for (int i = 0; i < 24; i++) c = crc(c, (uint8_t)m3[i][i]);
		c = crc(c, (uint8_t)machine("5012,0.5,1e7,abc,.25e3,99,1.2.3,7e,512,3.14159,2e10,x,100,0.001,"));
	}
	return c;
}

static float fa[4096], fb[4096], fc[4096];

// saxpy is floating point that the compiler turns into SIMD.
uint32_t EXPORT(saxpy)(void) {
	for (int i = 0; i < 4096; i++) fa[i] = i, fb[i] = 4096 - i, fc[i] = 0;
	for (int round = 0; round < 20000; round++)
		for (int i = 0; i < 4096; i++) fc[i] = fc[i] * 0.5f + fa[i] * fb[i];
	return (uint32_t)fc[77];
}

/* Sums over the items of two vectors, of one kind: included once for each kind, which is named by KIND. One vector with
   one keeps four sums of lanes at a time. A query with four rows loads the query once for all of them, and asks for the
   lines of the rows that come next, which a processor by itself asks for too late. */
#define OF_KIND(name, kind) name##_##kind
#define OF_EACH_KIND(name, kind) OF_KIND(name, kind)
#define OF(name) OF_EACH_KIND(name, KIND)
#define LOAD OF(load)
#define SIZE ((size_t)(sizeof(OF(item))))

/* The lanes from item i on, zeros behind item n. */
INLINE lanes OF(rest)(const char *from, size_t i, size_t n)
{
    return n - i < WIDTH ? OF_EACH_KIND(OF(load), tail)(from + i * SIZE, n - i) : LOAD(from + i * SIZE);
}

static float OF(dot)(const void *a, const void *b, size_t n)
{
    const char *x = a, *y = b;
    lanes s0 = zeros(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 4 * WIDTH <= n; i += 4 * WIDTH, x += 4 * WIDTH * SIZE, y += 4 * WIDTH * SIZE) {
        s0 = mul_add(LOAD(x), LOAD(y), s0);
        s1 = mul_add(LOAD(x + WIDTH * SIZE), LOAD(y + WIDTH * SIZE), s1);
        s2 = mul_add(LOAD(x + 2 * WIDTH * SIZE), LOAD(y + 2 * WIDTH * SIZE), s2);
        s3 = mul_add(LOAD(x + 3 * WIDTH * SIZE), LOAD(y + 3 * WIDTH * SIZE), s3);
    }
    for (size_t j = 0; i + j < n; j += WIDTH)
        s0 = mul_add(OF(rest)(x, j, n - i), OF(rest)(y, j, n - i), s0);
    return sum(add(add(s0, s1), add(s2, s3)));
}

INLINE lanes OF(add_square)(const char *a, const char *b, lanes sums)
{
    lanes gap = sub(LOAD(a), LOAD(b));
    return mul_add(gap, gap, sums);
}

static float OF(l2)(const void *a, const void *b, size_t n)
{
    const char *x = a, *y = b;
    lanes s0 = zeros(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 4 * WIDTH <= n; i += 4 * WIDTH, x += 4 * WIDTH * SIZE, y += 4 * WIDTH * SIZE) {
        s0 = OF(add_square)(x, y, s0);
        s1 = OF(add_square)(x + WIDTH * SIZE, y + WIDTH * SIZE, s1);
        s2 = OF(add_square)(x + 2 * WIDTH * SIZE, y + 2 * WIDTH * SIZE, s2);
        s3 = OF(add_square)(x + 3 * WIDTH * SIZE, y + 3 * WIDTH * SIZE, s3);
    }
    for (size_t j = 0; i + j < n; j += WIDTH) {
        lanes gap = sub(OF(rest)(x, j, n - i), OF(rest)(y, j, n - i));
        s0 = mul_add(gap, gap, s0);
    }
    return sum(add(add(s0, s1), add(s2, s3)));
}

/* What a cosine needs, in one pass: a.b, a.a and b.b. */
static void OF(products)(const void *a, const void *b, size_t n, float out[3])
{
    lanes ab[2] = {zeros(), zeros()}, aa[2] = {zeros(), zeros()}, bb[2] = {zeros(), zeros()};
    size_t i = 0;
    for (; i + 2 * WIDTH <= n; i += 2 * WIDTH)
        for (size_t j = 0; j < 2; j++) {
            lanes x = LOAD((const char *)a + (i + j * WIDTH) * SIZE), y = LOAD((const char *)b + (i + j * WIDTH) * SIZE);
            ab[j] = mul_add(x, y, ab[j]);
            aa[j] = mul_add(x, x, aa[j]);
            bb[j] = mul_add(y, y, bb[j]);
        }
    for (; i < n; i += WIDTH) {
        lanes x = OF(rest)(a, i, n), y = OF(rest)(b, i, n);
        ab[0] = mul_add(x, y, ab[0]);
        aa[0] = mul_add(x, x, aa[0]);
        bb[0] = mul_add(y, y, bb[0]);
    }
    out[0] = sum(add(ab[0], ab[1]));
    out[1] = sum(add(aa[0], aa[1]));
    out[2] = sum(add(bb[0], bb[1]));
}

static void OF(dots)(const void *query, const void *const rows[4], const void *const next[4], size_t n, float out[4])
{
    lanes sums[4][2] = {{zeros(), zeros()}, {zeros(), zeros()}, {zeros(), zeros()}, {zeros(), zeros()}};
    size_t i = 0;
    for (; i + 2 * WIDTH <= n; i += 2 * WIDTH)
        for (size_t j = 0; j < 2; j++) {
            size_t at = (i + j * WIDTH) * SIZE;
            lanes x = LOAD((const char *)query + at);
            ask_for(next, at);
            for (size_t r = 0; r < 4; r++)
                sums[r][j] = mul_add(x, LOAD((const char *)rows[r] + at), sums[r][j]);
        }
    for (; i < n; i += WIDTH)
        for (size_t r = 0; r < 4; r++)
            sums[r][0] = mul_add(OF(rest)(query, i, n), OF(rest)(rows[r], i, n), sums[r][0]);
    for (size_t r = 0; r < 4; r++)
        out[r] = sum(add(sums[r][0], sums[r][1]));
}

static void OF(distances)(const void *query, const void *const rows[4], const void *const next[4], size_t n,
                          float out[4])
{
    lanes sums[4][2] = {{zeros(), zeros()}, {zeros(), zeros()}, {zeros(), zeros()}, {zeros(), zeros()}};
    size_t i = 0;
    for (; i + 2 * WIDTH <= n; i += 2 * WIDTH)
        for (size_t j = 0; j < 2; j++) {
            size_t at = (i + j * WIDTH) * SIZE;
            lanes x = LOAD((const char *)query + at);
            ask_for(next, at);
            for (size_t r = 0; r < 4; r++) {
                lanes gap = sub(x, LOAD((const char *)rows[r] + at));
                sums[r][j] = mul_add(gap, gap, sums[r][j]);
            }
        }
    for (; i < n; i += WIDTH)
        for (size_t r = 0; r < 4; r++) {
            lanes gap = sub(OF(rest)(query, i, n), OF(rest)(rows[r], i, n));
            sums[r][0] = mul_add(gap, gap, sums[r][0]);
        }
    for (size_t r = 0; r < 4; r++)
        out[r] = sum(add(sums[r][0], sums[r][1]));
}

static void OF(dots_and_squares)(const void *query, const void *const rows[4], const void *const next[4], size_t n,
                                 float products[4], float squares[4])
{
    lanes ab[4] = {zeros(), zeros(), zeros(), zeros()}, bb[4] = {zeros(), zeros(), zeros(), zeros()};
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        lanes x = LOAD((const char *)query + i * SIZE);
        ask_for(next, i * SIZE);
        for (size_t r = 0; r < 4; r++) {
            lanes y = LOAD((const char *)rows[r] + i * SIZE);
            ab[r] = mul_add(x, y, ab[r]);
            bb[r] = mul_add(y, y, bb[r]);
        }
    }
    if (i < n)
        for (size_t r = 0; r < 4; r++) {
            lanes y = OF(rest)(rows[r], i, n);
            ab[r] = mul_add(OF(rest)(query, i, n), y, ab[r]);
            bb[r] = mul_add(y, y, bb[r]);
        }
    for (size_t r = 0; r < 4; r++) {
        products[r] = sum(ab[r]);
        squares[r] = sum(bb[r]);
    }
}

#undef OF_KIND
#undef OF_EACH_KIND
#undef OF
#undef LOAD
#undef SIZE

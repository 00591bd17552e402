/* Sums over the items of two vectors, of one kind: included once for each kind, which is named by KIND. Four sums of
   lanes run side by side. Of rows that are scanned the lines of a row further on (`ahead`) are asked for meanwhile, which
   a processor by itself does too late; one row after the other, because memory is read fastest in its order. */
#define OF_KIND(name, kind) name##_##kind
#define OF_EACH_KIND(name, kind) OF_KIND(name, kind)
#define OF(name) OF_EACH_KIND(name, KIND)
#define LOAD OF(load)
#define SIZE ((size_t)(sizeof(OF(item))))
#define STEP (4 * WIDTH)

/* The lanes from item i on, zeros behind item n. */
INLINE lanes OF(rest)(const char *from, size_t i, size_t n)
{
    return n - i < WIDTH ? OF_EACH_KIND(OF(load), tail)(from + i * SIZE, n - i) : LOAD(from + i * SIZE);
}

/* The same of what is float32 where it is `wide`, else of KIND. */
INLINE lanes OF(either)(const char *from, size_t i, int wide)
{
    return wide ? load_f32(from + i * sizeof(float)) : LOAD(from + i * SIZE);
}
INLINE lanes OF(either_rest)(const char *from, size_t i, size_t n, int wide)
{
    return wide ? rest_f32(from, i, n) : OF(rest)(from, i, n);
}

static void OF(widen)(const void *from, float *out, size_t n)
{
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        store((char *)(out + i), LOAD((const char *)from + i * SIZE));
    if (i < n)
        store_tail((char *)(out + i), OF(rest)(from, i, n), n - i);
}

INLINE float OF(dot_of)(const char *x, int wide, const char *y, const char *ahead, size_t n)
{
    lanes sums[4] = {zeros(), zeros(), zeros(), zeros()};
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        ask_for(ahead, i * SIZE, STEP * SIZE);
        for (size_t j = 0; j < 4; j++) {
            size_t at = i + j * WIDTH;
            sums[j] = mul_add(OF(either)(x, at, wide), LOAD(y + at * SIZE), sums[j]);
        }
    }
    for (; i < n; i += WIDTH)
        sums[0] = mul_add(OF(either_rest)(x, i, n, wide), OF(rest)(y, i, n), sums[0]);
    return sum(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

INLINE float OF(l2_of)(const char *x, int wide, const char *y, const char *ahead, size_t n)
{
    lanes sums[4] = {zeros(), zeros(), zeros(), zeros()};
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        ask_for(ahead, i * SIZE, STEP * SIZE);
        for (size_t j = 0; j < 4; j++) {
            size_t at = i + j * WIDTH;
            lanes gap = sub(OF(either)(x, at, wide), LOAD(y + at * SIZE));
            sums[j] = mul_add(gap, gap, sums[j]);
        }
    }
    for (; i < n; i += WIDTH) {
        lanes gap = sub(OF(either_rest)(x, i, n, wide), OF(rest)(y, i, n));
        sums[0] = mul_add(gap, gap, sums[0]);
    }
    return sum(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

static float OF(dot)(const void *a, const void *b, size_t n) { return OF(dot_of)(a, 0, b, NULL, n); }
static float OF(l2)(const void *a, const void *b, size_t n) { return OF(l2_of)(a, 0, b, NULL, n); }

/* What a cosine needs, in one pass: a.b, a.a and b.b. */
static void OF(products)(const void *a, const void *b, size_t n, float out[3])
{
    lanes ab[4] = {zeros(), zeros(), zeros(), zeros()}, aa[4] = {zeros(), zeros(), zeros(), zeros()};
    lanes bb[4] = {zeros(), zeros(), zeros(), zeros()};
    size_t i = 0;
    for (; i + STEP <= n; i += STEP)
        for (size_t j = 0; j < 4; j++) {
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
    out[0] = sum(add(add(ab[0], ab[1]), add(ab[2], ab[3])));
    out[1] = sum(add(add(aa[0], aa[1]), add(aa[2], aa[3])));
    out[2] = sum(add(add(bb[0], bb[1]), add(bb[2], bb[3])));
}

static void OF(dots)(const float *query, const aqe_run *rows, size_t n, float *out)
{
    for (size_t r = 0; r < rows->count; r++)
        out[r] = OF(dot_of)((const char *)query, 1, rows->place[r], rows->place[r + rows->ahead], n);
}

static void OF(distances)(const float *query, const aqe_run *rows, size_t n, float *out)
{
    for (size_t r = 0; r < rows->count; r++)
        out[r] = OF(l2_of)((const char *)query, 1, rows->place[r], rows->place[r + rows->ahead], n);
}

INLINE void OF(dot_and_square)(const char *x, const char *y, const char *ahead, size_t n, float *dot, float *square)
{
    lanes xy[4] = {zeros(), zeros(), zeros(), zeros()}, yy[4] = {zeros(), zeros(), zeros(), zeros()};
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        ask_for(ahead, i * SIZE, STEP * SIZE);
        for (size_t j = 0; j < 4; j++) {
            lanes item = LOAD(y + (i + j * WIDTH) * SIZE);
            READ_ONCE(item);
            xy[j] = mul_add(load_f32(x + (i + j * WIDTH) * sizeof(float)), item, xy[j]);
            yy[j] = mul_add(item, item, yy[j]);
        }
    }
    for (; i < n; i += WIDTH) {
        lanes item = OF(rest)(y, i, n);
        xy[0] = mul_add(rest_f32(x, i, n), item, xy[0]);
        yy[0] = mul_add(item, item, yy[0]);
    }
    *dot = sum(add(add(xy[0], xy[1]), add(xy[2], xy[3])));
    *square = sum(add(add(yy[0], yy[1]), add(yy[2], yy[3])));
}

static void OF(dots_and_squares)(const float *query, const aqe_run *rows, size_t n, float *dots, float *squares)
{
    for (size_t r = 0; r < rows->count; r++)
        OF(dot_and_square)((const char *)query, rows->place[r], rows->place[r + rows->ahead], n, dots + r, squares + r);
}

#undef OF_KIND
#undef OF_EACH_KIND
#undef OF
#undef LOAD
#undef SIZE
#undef STEP

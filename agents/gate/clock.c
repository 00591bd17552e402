/* Another time of day for a process and its children: loaded before libc (LD_PRELOAD), it adds CLOCK_SHIFT_S seconds
 * to the wall clock. Monotonic clocks and the kernel's own times (of files, say) stay as they are. As a Python module,
 * which is how it is built, it is empty. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef __linux__
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static long shift(void)
{
    const char *text = getenv("CLOCK_SHIFT_S");
    return text ? atol(text) : 0;
}

EXPORTED int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift();
    return failed;
}

EXPORTED int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int failed = (int)syscall(SYS_gettimeofday, now, zone);
    if (!failed)
        now->tv_sec += shift();
    return failed;
}

EXPORTED time_t time(time_t *seconds)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds)
        *seconds = now.tv_sec;
    return now.tv_sec;
}
#endif

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_clock", "Nothing: a library to be loaded before libc.", 0,
                                    NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__clock(void)
{
    return PyModule_Create(&module);
}

/* What happens to an index when the process is forked: `simd/_forks.py` calls this. */
#include "module.h"

/* hold(patience_s): have all others wait until let_go, as while a process is forked; whether that came about. */
PyObject *aqe_hold_index(PyObject *object, PyObject *patience_s)
{
    aqe_postings_object *self = (aqe_postings_object *)object;
    PY_TIMEOUT_T most_us = (PY_TIMEOUT_T)(PyFloat_AsDouble(patience_s) * 1e6);
    PyLockStatus got = PY_LOCK_FAILURE;
    if (PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    got = PyThread_acquire_lock_timed(self->lock, most_us > 0 ? most_us : 0, 0);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(got == PY_LOCK_ACQUIRED);
}

PyObject *aqe_let_index_go(PyObject *object, PyObject *unused)
{
    (void)unused;
    aqe_leave((aqe_postings_object *)object);
    return Py_NewRef(Py_None);
}

/* begin_anew(is_held): in a forked process, whose other threads are gone. Whoever has the lock, unless it was held for the
   fork, gives it back no more, and what it was at is half done. The old lock may have been waited for: it is left alone. */
PyObject *aqe_begin_index_anew(PyObject *object, PyObject *is_held)
{
    aqe_postings_object *self = (aqe_postings_object *)object;
    int held = PyObject_IsTrue(is_held);
    if (held < 0)
        return NULL;
    if (!held && !PyThread_acquire_lock(self->lock, NOWAIT_LOCK))
        self->is_broken = AQE_TORN;
    PyThread_type_lock fresh = PyThread_allocate_lock();
    if (fresh)
        self->lock = fresh;
    else
        PyThread_release_lock(self->lock);
    return Py_NewRef(Py_None);
}

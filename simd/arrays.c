/* Meeting NumPy: its array type and the function that makes arrays, from the table that it offers to extensions. */
#include "arrays.h"

#include <string.h>

PyTypeObject *aqe_ndarray;

typedef PyObject *(*new_array)(PyTypeObject *, int, const Py_ssize_t *, int, const Py_ssize_t *, void *, int, int,
                               PyObject *);
static new_array make;
static int refused; /* a NumPy was met whose ABI is not known: it is not asked again */

/* Is this the type named numpy.ndarray, with NumPy imported? Asking imports nothing. */
static int looks_like_ndarray(PyTypeObject *type)
{
    PyObject *name = PyType_GetName(type), *numpy_name = PyUnicode_FromString("numpy");
    PyObject *numpy = numpy_name ? PyImport_GetModule(numpy_name) : NULL;
    PyObject *ndarray = numpy ? PyObject_GetAttrString(numpy, "ndarray") : NULL;
    int same = name && ndarray == (PyObject *)type;
    Py_XDECREF(name);
    Py_XDECREF(numpy_name);
    Py_XDECREF(numpy);
    Py_XDECREF(ndarray);
    return same;
}

/* Entries of the table: 0 the version of the ABI, 2 the type of arrays, 93 PyArray_New. */
static void learn(PyTypeObject *type, void **table)
{
    unsigned int version = ((unsigned int (*)(void))table[0])() >> 24;
    refused = (version != 1 && version != 2) || table[2] != (void *)type;
    if (refused)
        return;
    make = (new_array)table[93];
    aqe_ndarray = type;
}

void aqe_meet_arrays(PyObject *object)
{
    static const char *const HOMES[] = {"numpy._core._multiarray_umath", "numpy.core._multiarray_umath"};
    PyTypeObject *type = Py_TYPE(object);
    if (aqe_ndarray || refused || !looks_like_ndarray(type)) {
        PyErr_Clear();
        return;
    }
    for (int i = 0; i < 2 && !aqe_ndarray && !refused; i++) {
        PyObject *home = PyImport_ImportModule(HOMES[i]);
        PyObject *capsule = home ? PyObject_GetAttrString(home, "_ARRAY_API") : NULL;
        void **table = capsule ? PyCapsule_GetPointer(capsule, NULL) : NULL;
        if (table)
            learn(type, table);
        Py_XDECREF(capsule);
        Py_XDECREF(home);
        PyErr_Clear();
    }
}

PyObject *aqe_new_array(int dimensions, const Py_ssize_t *shape, int number)
{
    return make(aqe_ndarray, dimensions, shape, number, NULL, NULL, 0, 0, NULL);
}

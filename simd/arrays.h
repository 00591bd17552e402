/* NumPy's arrays, read where they lie. Two buffer acquisitions cost more than a dot product of 384 items; the fields
   that NumPy's C interface promises (the layout of PyArrayObject, the head of PyArray_Descr and the numbers of its
   function table) cost nothing. Only exact ndarrays of a NumPy whose ABI is known are read so, only while the GIL is held and
   nothing else runs; everything else goes by the buffer protocol, with the same answer. */
#ifndef AQE_ARRAYS_H
#define AQE_ARRAYS_H

#include "binding.h"

typedef struct {
    PyObject_HEAD
    PyTypeObject *scalar;
    char kind, type, byteorder, flags;
    int number;
} aqe_dtype;

typedef struct {
    PyObject_HEAD
    char *data;
    int dimensions;
    Py_ssize_t *shape, *strides;
    PyObject *base;
    aqe_dtype *dtype;
    int flags;
} aqe_array;

enum { AQE_BOOL = 0, AQE_INT8 = 1, AQE_UINT8 = 2, AQE_FLOAT32 = 11, AQE_FLOAT16 = 23 }; /* NumPy's type numbers */

/* NumPy's ndarray type once it was met, else NULL; set by aqe_meet_arrays. */
extern PyTypeObject *aqe_ndarray;

/* Learn the type from an object that is an ndarray and was not known as one. Sets no error. */
void aqe_meet_arrays(PyObject *object);

/* The object as an array of this many dimensions, contiguous in C order, in native byte order; NULL where it is not. */
static inline const aqe_array *aqe_as_array(PyObject *object, int dimensions)
{
    const aqe_array *array = (const aqe_array *)object;
    if (Py_TYPE(object) != aqe_ndarray)
        return NULL;
    int fits = array->dimensions == dimensions && (array->flags & 1) && array->dtype->byteorder != AQE_SWAPPED;
    return fits ? array : NULL;
}

/* A new array of the shape and type number; NULL with an error set. Only after an array was met. */
PyObject *aqe_new_array(int dimensions, const Py_ssize_t *shape, int number);

#endif

cd /tmp/qw && AQE_NATIVE=require .venv/bin/python setup.py -q build_ext --inplace 2>&1 | grep -v Warn | tail -3
ls -la simd/*.so

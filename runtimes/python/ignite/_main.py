"""Where the host starts a worker: `python3.12 -I -S -X utf8 <cache>/ignite/_main.py <folder of the app>`.

Kept this small because a script is compiled anew at each start, while the byte code of the modules it imports is kept.
The guard matters: `multiprocessing` in a handler imports this file again in the processes it spawns.
"""

if __name__ == "__main__":
    import gc
    import sys

    # Nothing made while loading is garbage, and a collection would touch the pages that forked workers share.
    gc.disable()
    sys.path.append(__file__.rpartition("/")[0].rpartition("/")[0])

    from ignite._worker import main

    main(sys.argv)

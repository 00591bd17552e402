"""Writes through symlinks that lie in scratch and point to the user's files."""
import os


def attack(args, emit):
    done = []
    for number, target in enumerate((os.path.join(args["canary"], "notes.txt"), __file__, args["canary"])):
        link = os.path.join(os.environ["TMPDIR"], "link%d" % number)
        os.symlink(target, link)
        place = os.path.join(link, "new.txt") if target == args["canary"] else link
        try:
            with open(place, "w") as stream:
                stream.write("broken")
            done.append(target)
        except OSError:
            pass
    return done

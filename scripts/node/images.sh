# shellcheck shell=bash
# The few images that a node needs beside ours, put together from programs that are in the cache. Sourced by
# scripts/cluster.

# import_images DIR: once per node; the archives are made anew when a program has changed.
import_images() {
	local dir=$1 folder links=() applet
	folder=$(cache_root)/node-images
	for applet in $(busybox --list); do links+=(--link "/bin/busybox:/bin/$applet"); done
	make_image "$folder/pause.tar" localhost/pause:1 "$KUBERNETES_CACHE/pause:/pause" --entrypoint /pause
	make_image "$folder/coredns.tar" localhost/coredns:1 "$COREDNS_CACHE/coredns:/coredns" --entrypoint /coredns
	# A shell, the usual tools, and kubectl, as a job's image has them.
	make_image "$folder/runner.tar" localhost/runner:1 "$(command -v busybox):/bin/busybox" \
		"$KUBERNETES_CACHE/kubectl:/usr/bin/kubectl" --command /bin/sh --folder 1777:/tmp "${links[@]}"
	# kubectl alone, as in images without a shell.
	make_image "$folder/kubectl.tar" localhost/kubectl:1 "$KUBERNETES_CACHE/kubectl:/kubectl" --entrypoint /kubectl
	load "$dir" "$folder"/{pause,coredns,runner,kubectl}.tar
}

# make_image ARCHIVE NAME ARG...: ARGs are those of image/archive.py.
make_image() {
	local archive=$1 name=$2 file
	shift 2
	mkdir -p "$(dirname "$archive")"
	for file in "$@" "$SCRIPTS/image/archive.py"; do
		# Programs are named as FILE:PATH. Made anew when one of them is newer.
		if [[ ! -e $archive || ( -f ${file%%:*} && ${file%%:*} -nt $archive ) ]]; then
			python3 "$SCRIPTS/image/archive.py" --name "$name" --output "$archive" "$@"
			return
		fi
	done
}

// A client as Go programs are written: client-go's typed clients, which speak protobuf by themselves, with the configuration of a
// kubeconfig or of a pod. Each command prints what it got as JSON lines; errors end it with code 1. Used by tests/all/clients/typed.rs and
// tests/all/hidden/clients.rs.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const usage = "get|list|metadata|create|update|patch|delete|watch|inform|follow|token NAMESPACE [NAME [VALUE]]"

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(64)
	}
	argument := func(at int) string {
		if len(os.Args) > at {
			return os.Args[at]
		}
		return ""
	}
	if err := run(context.Background(), argument(1), argument(2), argument(3), argument(4)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// tapped notes which content types the answers came in.
type tapped struct{ next http.RoundTripper }

func (t tapped) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	if err == nil {
		fmt.Fprintf(os.Stderr, "%s %d %s\n", request.Method, response.StatusCode, response.Header.Get("Content-Type"))
		if path := os.Getenv("BODIES"); path != "" && response.Header.Get("Content-Type") != "" {
			response.Body = struct {
				io.Reader
				io.Closer
			}{io.TeeReader(response.Body, appendTo(path)), response.Body}
		}
	}
	return response, err
}

// appendTo keeps the bytes as they came, for a search.
func appendTo(path string) io.Writer {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	return file
}

func run(ctx context.Context, command, namespace, name, value string) error {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return err
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return tapped{next} })
	// Unset, it is client-go's own choice.
	config.AcceptContentTypes = os.Getenv("ACCEPT")
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	secrets := clientset.CoreV1().Secrets(namespace)
	switch command {
	case "get":
		return show(secrets.Get(ctx, name, metav1.GetOptions{}))
	case "list":
		return show(secrets.List(ctx, metav1.ListOptions{}))
	case "metadata":
		return partial(ctx, config, namespace, name)
	case "create":
		return show(secrets.Create(ctx, secret(name, value), metav1.CreateOptions{}))
	case "update":
		return show(secrets.Update(ctx, secret(name, value), metav1.UpdateOptions{}))
	case "patch":
		patch := []byte(fmt.Sprintf(`{"metadata":{"labels":{"patched":%q}}}`, value))
		return show(secrets.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}))
	case "delete":
		return secrets.Delete(ctx, name, metav1.DeleteOptions{})
	case "watch":
		return watch(ctx, clientset, namespace, name)
	case "inform":
		return inform(ctx, clientset, namespace, name)
	case "follow":
		return follow(ctx, clientset, namespace, name)
	case "token":
		request := &authenticationv1.TokenRequest{}
		return show(clientset.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{}))
	}
	return fmt.Errorf("%s", usage)
}

func secret(name, value string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"made": "typed"}},
		Data:       map[string][]byte{"password": []byte(value)},
	}
}

func partial(ctx context.Context, config *rest.Config, namespace, name string) error {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	resource := corev1.SchemeGroupVersion.WithResource("secrets")
	return show(client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{}))
}

// watch prints the first event about the object.
func watch(ctx context.Context, clientset *kubernetes.Clientset, namespace, name string) error {
	options := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
	watcher, err := clientset.CoreV1().Secrets(namespace).Watch(ctx, options)
	if err != nil {
		return err
	}
	defer watcher.Stop()
	event, open := <-watcher.ResultChan()
	if !open {
		return fmt.Errorf("the watch ended")
	}
	fmt.Println(event.Type)
	return show(event.Object, nil)
}

// inform waits until an informer, as controllers have it, holds the object: by a watch that begins with a list.
func inform(ctx context.Context, clientset *kubernetes.Clientset, namespace, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	factory := informers.NewSharedInformerFactoryWithOptions(clientset, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().Secrets()
	synced := informer.Informer().HasSynced
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), synced) {
		return fmt.Errorf("the informer did not fill")
	}
	return show(informer.Lister().Secrets(namespace).Get(name))
}

// follow prints what the handlers of an informer are told, until there is an object of that name.
func follow(ctx context.Context, clientset *kubernetes.Clientset, namespace, last string) error {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Second)
	defer cancel()
	factory := informers.NewSharedInformerFactoryWithOptions(clientset, 0, informers.WithNamespace(namespace))
	told := func(event string, object any) {
		// Of a deletion that the watch itself did not tell there would be another type.
		name := object.(*corev1.Secret).Name
		fmt.Println(event, name)
		if name == last {
			cancel()
		}
	}
	handlers, err := factory.Core().V1().Secrets().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { told("ADDED", object) },
		UpdateFunc: func(_, object any) { told("MODIFIED", object) },
		DeleteFunc: func(object any) { told("DELETED", object) },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handlers.HasSynced) {
		return fmt.Errorf("the informer did not fill")
	}
	fmt.Println("filled")
	<-ctx.Done()
	if ctx.Err() == context.DeadlineExceeded {
		return fmt.Errorf("%s never came", last)
	}
	return nil
}

func show[T any](object T, err error) error {
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.NewEncoder(&line).Encode(object); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, &line)
	return err
}
